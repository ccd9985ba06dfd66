"""Claims: who may answer which waiting rows, decided by the database."""

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils.timezone import now

from recognizer.predictions.models import MAX_ATTEMPTS, Owner, Prediction
from recognizer.registry.models import RegisteredModel
from tests.recognition import picture, serve_tiny, upload

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]
LEASE = timedelta(seconds=15)
Status = Prediction.Status


@pytest.fixture
def owner() -> Owner:
    return Owner(visitor=uuid.uuid4())


@pytest.fixture
def waiting(fruit_rows: RegisteredModel, owner: Owner) -> list[Prediction]:
    return [upload(picture(seed), owner=owner) for seed in range(4)]


def claim(limit: int = 8) -> list[Prediction]:
    return Prediction.objects.claim(limit=limit, lease=LEASE)


def test_claim_takes_the_oldest_first(waiting: list[Prediction]):
    assert claim(2) == waiting[:2]
    assert claim(2) == waiting[2:]
    assert claim(2) == []


def test_claim_counts_the_attempt_and_sets_a_lease(waiting: list[Prediction]):
    [mine] = claim(1)

    row = Prediction.objects.get(pk=mine.pk)
    assert (row.status, row.attempts) == (Status.RUNNING, 1) == (mine.status, mine.attempts)
    assert row.lease_until
    assert now() < row.lease_until <= now() + LEASE
    assert row.started_at


def test_tried_row_is_not_claimed_beside_others(waiting: list[Prediction]):
    [suspect] = Prediction.objects.claim(limit=1, lease=-LEASE)
    Prediction.objects.return_expired(now())

    assert Prediction.objects.claim(limit=8, lease=LEASE, alone=False) == []
    assert Prediction.objects.get(pk=suspect.pk).attempts == 1
    assert claim() == [suspect]
    assert Prediction.objects.claim(limit=8, lease=LEASE, alone=False) == waiting[1:]


def test_batch_is_of_one_model(waiting: list[Prediction], owner: Owner):
    serve_tiny("cars", "0" * 64)
    car = upload(owner=owner, model="cars")
    fifth = upload(owner=owner)

    assert claim() == [*waiting, fifth]
    assert claim() == [car]


def test_models_that_rest_are_left_out(waiting: list[Prediction], owner: Owner):
    cars, idle = serve_tiny("cars", "0" * 64), serve_tiny("idle", "0" * 64)
    car = upload(owner=owner, model="cars")
    fruit = waiting[0].model

    assert Prediction.objects.models_that_wait([fruit.pk, idle.pk]) == [fruit.pk]
    assert Prediction.objects.claim(limit=8, lease=LEASE, without=[fruit.pk, idle.pk]) == [car]
    assert Prediction.objects.claim(limit=8, lease=LEASE, without=[fruit.pk]) == []
    assert Prediction.objects.claim(limit=8, lease=LEASE, without=[cars.pk]) == waiting


def test_second_attempt_comes_alone(waiting: list[Prediction]):
    claim(1)
    Prediction.objects.return_expired(now() + 2 * LEASE)

    assert claim() == waiting[:1]
    assert claim() == waiting[1:]


def test_tried_row_stays_out_of_others_batch(waiting: list[Prediction]):
    Prediction.objects.filter(pk=waiting[2].pk).update(attempts=1)

    assert claim() == [waiting[0], waiting[1], waiting[3]]
    assert claim() == [waiting[2]]


def test_lease_that_runs_out_returns_the_row(waiting: list[Prediction]):
    claim(2)

    assert Prediction.objects.return_expired(now()) == 0
    assert Prediction.objects.return_expired(now() + 2 * LEASE) == 2
    assert Prediction.objects.pending().count() == 4


def expire(row: Prediction, times: int) -> Prediction:
    for _ in range(times):
        assert claim(1)[0].pk == row.pk
        Prediction.objects.return_expired(now() + 2 * LEASE)
    return Prediction.objects.get(pk=row.pk)


def test_fifth_lost_lease_ends_the_row(waiting: list[Prediction]):
    assert expire(waiting[0], MAX_ATTEMPTS - 1).status == Status.PENDING

    row = expire(waiting[0], 1)

    assert row.status == Status.FAILED
    assert row.error_code == "worker_died"
    assert "Retry" in row.error_detail
    assert row.finished_at
    assert row.lease_until is None


def test_retry_allows_five_more(waiting: list[Prediction]):
    row = expire(waiting[0], MAX_ATTEMPTS)

    assert row.retry()
    assert expire(waiting[0], MAX_ATTEMPTS - 1).status == Status.PENDING
    assert expire(waiting[0], 1).status == Status.FAILED


def test_worker_that_lost_its_lease_changes_nothing(waiting: list[Prediction]):
    [slow] = claim(1)
    Prediction.objects.return_expired(now() + 2 * LEASE)
    [quick] = claim(1)

    assert not slow.fail("x", "too late")
    assert Prediction.objects.get(pk=slow.pk).status == Status.RUNNING
    assert quick.fail("x", "in time")
    assert not slow.fail("x", "far too late")
    assert Prediction.objects.get(pk=slow.pk).error_detail == "in time"


def test_end_is_final(waiting: list[Prediction]):
    [mine] = claim(1)

    assert mine.fail("x", "once")
    assert not mine.fail("x", "twice")


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.SUCCEEDED, Status.ERASED])
def test_only_a_failed_row_is_retried(waiting: list[Prediction], status: str):
    version = waiting[0].model.desired_version()
    Prediction.objects.filter(pk=waiting[0].pk).update(status=status, version=version, score=1, label="apple")

    assert not waiting[0].retry()
    assert Prediction.objects.get(pk=waiting[0].pk).status == status


def at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    """The results of `count` threads that start together, each with a connection of its own."""
    start, results = threading.Barrier(count), []

    def run() -> None:
        start.wait()
        try:
            results.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count
    return results


def test_two_claimers_never_share_a_row(transactional_db: None, fruit_rows: RegisteredModel, owner: Owner):
    rows = [upload(picture(seed), owner=owner) for seed in range(12)]

    def drain() -> list[Prediction]:
        mine: list[Prediction] = []
        while batch := claim(2):
            mine += batch
        return mine

    taken = [row.pk for mine in at_once(4, drain) for row in mine]

    assert sorted(taken) == sorted(row.pk for row in rows)
    assert set(Prediction.objects.values_list("attempts", flat=True)) == {1}


def test_two_retries_at_once_queue_it_once(transactional_db: None, fruit_rows: RegisteredModel, owner: Owner):
    row = upload(owner=owner)
    claim()[0].fail("x", "reason")

    assert sorted(at_once(4, row.retry)) == [False, False, False, True]
