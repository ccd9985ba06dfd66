"""Clocks that are set and reconcilers that meet: they delay, and do no harm."""

import uuid
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils.timezone import now

from recognizer.predictions import tasks
from recognizer.predictions.models import MAX_ATTEMPTS, Owner, Prediction
from recognizer.registry.models import RegisteredModel
from tests.predictions.test_claim import at_once
from tests.recognition import picture, upload

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
OWNER = Owner(visitor=uuid.UUID(int=7))
Status = Prediction.Status


def set_clock(jump: timedelta) -> None:
    """For the rows, a clock that jumps is the same as all that they know of it moved the other way."""
    Prediction.objects.update(created_at=F("created_at") - jump, lease_until=F("lease_until") - jump)


def claim(limit: int = 8) -> list[Prediction]:
    return Prediction.objects.claim(limit=limit, lease=tasks.LEASE)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_lost_ring_is_found_after_the_clock_was_set(fruit_rows: RegisteredModel, broker, jump: timedelta):
    upload(owner=OWNER)
    set_clock(jump)

    tasks.reconcile()

    assert broker.llen("predict") == 1


@pytest.mark.parametrize("jump", [HOUR, -HOUR, timedelta(days=-400)])
def test_vanished_workers_row_comes_back_after_the_clock_was_set(fruit_rows: RegisteredModel, jump: timedelta):
    upload(owner=OWNER)
    claim()
    set_clock(jump)

    assert Prediction.objects.return_expired(now()) == 1


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_clock_set_under_a_working_worker_makes_no_second_result(fruit_rows: RegisteredModel, jump: timedelta):
    upload(owner=OWNER)
    [early] = claim()
    set_clock(jump)
    Prediction.objects.return_expired(now())
    [late] = claim()

    assert not early.fail("x", "the lease is over")
    assert late.fail("x", "the only result")
    assert Prediction.objects.get().error_detail == "the only result"


def test_small_correction_takes_no_row_from_its_worker(fruit_rows: RegisteredModel):
    upload(owner=OWNER)
    claim()
    set_clock(timedelta(seconds=-30))

    assert Prediction.objects.return_expired(now()) == 0


def test_reconcilers_at_once_return_each_row_once(transactional_db: None, fruit_rows: RegisteredModel, broker):
    rows = [upload(picture(seed), owner=OWNER) for seed in range(6)]
    Prediction.objects.filter(pk=rows[0].pk).update(attempts_allowed=1)
    Prediction.objects.claim(limit=4, lease=-tasks.LEASE)
    set_clock(HOUR)

    at_once(4, tasks.reconcile)

    ended = Prediction.objects.get(pk=rows[0].pk)
    assert (ended.status, ended.error_code) == (Status.FAILED, "worker_died")
    waiting = Prediction.objects.pending().order_by("created_at").values_list("attempts", flat=True)
    assert list(waiting) == [1, 1, 1, 0, 0]
    assert broker.llen("predict") == 1
    assert set(Prediction.objects.values_list("attempts_allowed", flat=True)) == {1, MAX_ATTEMPTS}


def test_reconcilers_beside_a_worker_take_nothing_from_it(transactional_db: None, fruit_rows: RegisteredModel):
    for seed in range(6):
        upload(picture(seed), owner=OWNER)
    mine = claim()

    at_once(4, tasks.reconcile)

    assert all(row.fail("x", "mine") for row in mine)
