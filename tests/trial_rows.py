"""A version on trial, over real answers of the tiny network."""

import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.utils.timezone import now
from pytest_django import Settings

from classifier_core.artifact import load_artifact
from recognizer.predictions.models import Owner, Prediction, Trial
from recognizer.predictions.second_opinions import give_second_opinions
from recognizer.registry import standby
from recognizer.registry.models import ModelVersion, RegisteredModel
from tests.recognition import add_version, picture, upload, work
from tests.tiny_artifact import build_mixed_up

OWNER = Owner(visitor=uuid.UUID(int=1))


@pytest.fixture(scope="session")
def mixed_up_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny artifact with some of its labels mixed up, in a folder named by its hash. Read only."""
    folder = tmp_path_factory.mktemp("mixed up")
    build_mixed_up(tiny_folder, folder / "new")
    return (folder / "new").rename(folder / load_artifact(folder / "new").sha256)


@pytest.fixture
def candidate(
    fruit: RegisteredModel, tiny_folder: Path, mixed_up_folder: Path, settings: Settings, tmp_path: Path
) -> ModelVersion:
    """Version 2 of the default model, not promoted: it says MIXED_UP of what version 1 says."""
    store = tmp_path / "artifacts"
    store.mkdir()
    for folder in (tiny_folder, mixed_up_folder):
        (store / folder.name).symlink_to(folder)
    settings.RECOGNIZER_ARTIFACT_DIR = store
    return add_version(fruit, mixed_up_folder.name)


def answered_uploads(number: int, raws: list[bytes] | None = None) -> list[Prediction]:
    """So many uploads, answered, a minute old and a second apart."""
    rows = [upload(raw, owner=OWNER) for raw in raws or [picture(seed) for seed in range(number)]]
    work()
    for position, row in enumerate(rows):
        at = now() - timedelta(seconds=60 + len(rows) - position)
        Prediction.objects.filter(pk=row.pk).update(created_at=at)
    return [Prediction.objects.get(pk=row.pk) for row in rows]


def begin_earlier(trial: Trial) -> Trial:
    """As if it had been started an hour ago."""
    hour = timedelta(hours=1)
    Trial.objects.filter(pk=trial.pk).update(since=F("since") - hour, position_at=F("position_at") - hour)
    return Trial.objects.get(pk=trial.pk)


def give_opinions(*, looks: int = 1_000_000) -> int:
    """What a worker does for the trials, until it finds somebody waiting at this look."""
    left = iter(range(looks))
    load_versions()
    return give_second_opinions(until=time.monotonic() + 30, is_busy=lambda: next(left, None) is None)


def load_versions() -> None:
    give_second_opinions(until=0, is_busy=lambda: True)
    for loading in standby._versions.values():
        loading.exception(timeout=60)
