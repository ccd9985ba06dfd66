"""Base photos whose features are made, and check-ups of them, by the steps that make them in life."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier_core import learning_curve
from recognizer.registry.models import RegisteredModel
from recognizer.training import checkups
from recognizer.training.asking import ask_for_checkup
from recognizer.training.candidates import current_labels
from recognizer.training.checkup_models import CheckUp, Finding
from recognizer.training.looking import Looking
from recognizer.training.models import BasePhoto, PhotoLook
from tests.training.snapshot_rows import label, with_base_photos

NOISE = 0.35


class WithoutNetwork(Looking):
    """Looks without a network: the features are made, so that a test knows what they tell."""

    def __init__(self, *, features: bool) -> None:
        super().__init__(features=False)


def with_features(model: RegisteredModel, folder: Path, **options: Any) -> None:
    """Base photos, each with features that speak for its label."""
    with_base_photos(model, folder, **options)
    rows = BasePhoto.objects.filter(model=model).order_by("source")
    WithoutNetwork(features=True).look_at([row.blob_id for row in rows], lambda _: None)
    keys = sorted(set(current_labels(model).values()))
    random = np.random.default_rng(0)
    for row in rows.select_related("label"):
        speak(row.blob_id, np.eye(len(keys))[keys.index(row.label.key)].repeat(4), random)


def speak(sha256: str, features: Any, random: np.random.Generator) -> None:
    noisy = np.asarray(features) + random.normal(0, NOISE, len(features))
    PhotoLook.objects.filter(pk=sha256).update(features=noisy.astype(np.float16).tobytes())


def flip(number: int) -> list[str]:
    """So many apples are called bananas; gives their SHA-256."""
    some = list(BasePhoto.objects.filter(label__key="apple").order_by("source")[:number])
    BasePhoto.objects.filter(pk__in=[row.pk for row in some]).update(label=label("banana"))
    return [row.blob_id for row in some]


def checked(model: RegisteredModel) -> CheckUp:
    """A check-up that a worker has done."""
    checkup = ask_for_checkup(model, by=None, rings=False)
    assert checkup.start()
    checkups.check(checkup)
    row = CheckUp.objects.get(pk=checkup.pk)
    assert row.status == "ready", row.error
    return row


def found(checkup: CheckUp, kind: str) -> list[Finding]:
    return list(checkup.findings.open().filter(kind=kind))


@pytest.fixture
def made_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkups, "Looking", WithoutNetwork)
    monkeypatch.setattr(learning_curve, "ROUNDS", 1)  # three tell more, and take three times as long
