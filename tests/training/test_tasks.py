"""Jobs of the train worker survive workers that die and rings that get lost."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from recognizer.registry.models import RegisteredModel
from recognizer.training import bell
from recognizer.training.asking import ask_for_snapshot
from recognizer.training.models import MAX_ATTEMPTS, DatasetSnapshot, LeaseLost
from recognizer.training.options import SnapshotOptions
from recognizer.training.snapshots import freeze
from recognizer.training.tasks import tend
from tests.training.snapshot_rows import frozen, photo_bytes, reviewed, with_base_photos

OPTIONS = SnapshotOptions(features=False)


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(bell, "ring", heard.append)
    return heard


def asked(model: RegisteredModel) -> DatasetSnapshot:
    return ask_for_snapshot(model, OPTIONS, by=None, rings=False)


def expire(snapshot: DatasetSnapshot) -> None:
    DatasetSnapshot.objects.filter(pk=snapshot.pk).update(lease_until=now() - timedelta(seconds=1))


def test_ring_reaches_the_train_queue(
    broker: Any, fruit_rows: RegisteredModel, django_capture_on_commit_callbacks: Any
):
    with django_capture_on_commit_callbacks(execute=True):
        ask_for_snapshot(fruit_rows, OPTIONS, by=None)

    assert broker.llen("train") == 1
    assert broker.llen("predict") == 0


def test_lost_ring_is_rung_again(fruit_rows: RegisteredModel, rings: list[str]):
    tend()
    asked(fruit_rows)
    assert rings == []

    tend()

    assert rings == ["freeze"]


def test_snapshot_of_a_dead_worker_is_frozen_by_the_next(
    fruit_rows: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rings: list[str]
):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=8)
    first = asked(fruit_rows)
    assert first.start()
    with monkeypatch.context() as dying:
        dying.setattr("recognizer.training.figures.contents_of", _die)
        with pytest.raises(KeyboardInterrupt):
            freeze(first)
    assert first.items.count() == 16
    expire(first)

    tend()
    again = DatasetSnapshot.objects.claim()
    freeze(again)

    assert rings == ["freeze"]
    assert again.status == "ready"
    assert again.num_photos == again.items.count() == 16
    assert frozen(fruit_rows).content_sha256 == again.content_sha256


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_worker_that_lost_its_lease_changes_nothing(fruit_rows: RegisteredModel):
    reviewed(photo_bytes(1))
    slow = asked(fruit_rows)
    assert slow.start()
    expire(slow)
    tend()
    other = DatasetSnapshot.objects.claim()

    with pytest.raises(LeaseLost):
        freeze(slow)

    freeze(other)
    assert DatasetSnapshot.objects.get().num_photos == 1


def test_one_freeze_at_a_time_for_a_model(fruit_rows: RegisteredModel):
    first, second = asked(fruit_rows), asked(fruit_rows)

    assert first.start()
    assert not second.start()
    assert DatasetSnapshot.objects.claim() is None
    assert first.fail("no")
    assert second.start()


def test_what_kills_every_worker_ends_in_words(fruit_rows: RegisteredModel):
    asked(fruit_rows)
    for _ in range(MAX_ATTEMPTS):
        expire(DatasetSnapshot.objects.claim())
        tend()

    snapshot = DatasetSnapshot.objects.get()
    assert snapshot.status == "failed"
    assert "each time it was tried" in snapshot.error
