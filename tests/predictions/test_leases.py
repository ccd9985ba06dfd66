"""Rows of vanished workers come back, whatever else the queue holds; opinions never reach a tombstone."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now

from recognizer.predictions import feedback, review, tasks
from recognizer.predictions.erasure import erase
from recognizer.predictions.feedback import NotAnswered
from recognizer.predictions.models import Feedback, Owner, Prediction, Review
from recognizer.registry import serving
from recognizer.registry.models import RegisteredModel
from recognizer.storage import StorageUnavailable
from tests.recognition import upload, work

pytestmark = pytest.mark.django_db
VISITOR = Owner(visitor=uuid.UUID(int=7))


def test_drain_returns_what_a_vanished_worker_held(fruit: RegisteredModel):
    held = upload(owner=VISITOR)
    Prediction.objects.update(status="running", attempts=1, lease_until=now() - timedelta(seconds=1))

    tasks.classify_pending()

    held.refresh_from_db()
    assert (held.status, held.attempts) == ("succeeded", 2)


def test_storage_that_does_not_answer_costs_an_attempt_only(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    row = upload(owner=VISITOR)

    def read(sha256: str) -> bytes:
        raise StorageUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr("recognizer.predictions.blobs.read_once", read)
        tasks.classify_pending()
    row.refresh_from_db()
    assert row.status == "running"  # until its lease runs out

    Prediction.objects.update(lease_until=now() - timedelta(seconds=1))
    tasks.classify_pending()
    row.refresh_from_db()
    assert row.status == "succeeded"


def test_tombstone_takes_no_review_and_no_claim(fruit: RegisteredModel):
    row = upload(owner=VISITOR)
    work()
    erase(row, erased_by="visitor")  # behind the back of whoever holds `row`

    with pytest.raises(NotAnswered):
        review.record(row, verdict=Review.Verdict.CONFIRMED, reviewer=User.objects.create_user("anna"))
    with pytest.raises(NotAnswered):
        feedback.claim(row, owner=Owner(), is_correct=False, claimed_label="secret")
    assert not Review.objects.exists()
    assert not Feedback.objects.exists()


def test_erased_pending_row_is_finished(fruit_rows: RegisteredModel):
    row = upload(owner=VISITOR)

    erase(row, erased_by="visitor")

    row.refresh_from_db()
    assert row.finished_at is not None


def test_following_promotions_survives_any_error(monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []

    def refresh() -> None:
        calls.append(1)
        raise RuntimeError("a runtime's own kind of error")

    monkeypatch.setattr(serving, "refresh", refresh)
    monkeypatch.setattr(serving, "REFRESH_SECONDS", 0.01)
    stopping = threading.Event()
    monkeypatch.setattr(serving, "_stopping", stopping)

    serving.start()
    while len(calls) < 3:
        assert not stopping.wait(0.01)
    stopping.set()
    for thread in threading.enumerate():  # or it goes on through other tests, once this one's event is gone
        if thread.name == "serving":
            thread.join(5)
