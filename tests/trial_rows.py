"""A version on trial, over real answers of the tiny network."""

import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.utils.timezone import now
from pytest_django import Settings

from recognizer.predictions.models import Owner, Prediction, Trial
from recognizer.predictions.second_opinions import give_second_opinions
from recognizer.registry import standby
from recognizer.registry.models import ModelVersion, RegisteredModel
from tests.recognition import add_version, picture, upload, work

OWNER = Owner(visitor=uuid.UUID(int=1))


@pytest.fixture
def candidate(
    fruit: RegisteredModel, tiny_folder: Path, other_tiny_folder: Path, settings: Settings, tmp_path: Path
) -> ModelVersion:
    """Version 2 of the default model: other weights, not promoted."""
    store = tmp_path / "artifacts"
    store.mkdir()
    for folder in (tiny_folder, other_tiny_folder):
        (store / folder.name).symlink_to(folder)
    settings.RECOGNIZER_ARTIFACT_DIR = store
    return add_version(fruit, other_tiny_folder.name)


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
