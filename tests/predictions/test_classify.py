"""From claimed rows to stored answers and stored failures."""

import gc
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.db.backends.signals import connection_created
from django.utils.timezone import now

from classifier_core.preprocessing import Preprocessing
from recognizer.predictions import blobs, doorbell, tasks
from recognizer.predictions.answers import WRITTEN_BY_WORKER, pack, unpack
from recognizer.predictions.classify import classify
from recognizer.predictions.models import MAX_ATTEMPTS, Owner, Prediction
from recognizer.registry import serving, timekeeping
from recognizer.registry.configurations import num_threads
from recognizer.registry.models import ModelVersion, RegisteredModel
from tests.recognition import picture, serve_tiny, undecodable, upload, work

pytestmark = pytest.mark.django_db
Status = Prediction.Status
IN_MEMORY = 2  # of SQLite's ways to keep what is temporary
OWNER = Owner(visitor=uuid.uuid4())


def after(row: Prediction) -> Prediction:
    return Prediction.objects.get(pk=row.pk)


def classify_claimed(batch: list[Prediction]) -> None:
    given = iter([batch])
    classify(lambda _limit, **_: next(given, []), until=time.monotonic() + 10)


def test_drain_answers_all_that_waits(fruit: RegisteredModel):
    rows = [upload(picture(seed), owner=OWNER) for seed in range(20)]

    work()

    assert {after(row).status for row in rows} == {Status.SUCCEEDED}
    assert {after(row).attempts for row in rows} == {1}


def test_batch_equals_one_by_one(fruit: RegisteredModel):
    together = [upload(picture(seed), owner=OWNER) for seed in range(5)]
    work()
    for seed, row in enumerate(together):
        alone = upload(picture(seed), owner=OWNER)
        work()
        assert [label for label, _ in after(alone).scores] == [label for label, _ in after(row).scores]
        assert after(alone).score == pytest.approx(after(row).score, abs=1e-4)


def test_one_bad_image_fails_alone(fruit: RegisteredModel):
    good = [upload(picture(seed), owner=OWNER) for seed in range(3)]
    bad = upload(undecodable(), owner=OWNER)

    work()

    assert {after(row).status for row in good} == {Status.SUCCEEDED}
    assert (after(bad).status, after(bad).error_code) == (Status.FAILED, "undecodable")
    assert after(bad).error_detail
    assert after(bad).version is None


def test_out_of_memory_is_a_stored_failure(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    load = Preprocessing.load

    def greedy(self: Preprocessing, raw: bytes, **options):
        if raw == picture(1):
            raise MemoryError
        return load(self, raw, **options)

    monkeypatch.setattr(Preprocessing, "load", greedy)
    good, bad = upload(picture(0), owner=OWNER), upload(picture(1), owner=OWNER)

    work()

    assert after(good).status == Status.SUCCEEDED
    assert (after(bad).status, after(bad).error_code) == (Status.FAILED, "out_of_memory")


def test_lost_file_is_a_stored_failure(fruit: RegisteredModel):
    row = upload(owner=OWNER)
    blobs.remove(row.image.blob_id)

    work()

    assert (after(row).status, after(row).error_code) == (Status.FAILED, "image_missing")


@pytest.fixture
def begun_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a worker's child is once it has begun, without its models."""
    listening = [*connection_created.receivers]
    for module, name in ((serving, "start"), (timekeeping, "start"), (tasks, "die_with_parent"), (gc, "freeze")):
        monkeypatch.setattr(module, name, lambda **_: None)
    tasks._start_serving(sender="predict@here")
    yield
    connection_created.receivers[:] = listening
    connection_created.sender_receivers_cache.clear()


@pytest.mark.files  # of SQLite
def test_worker_writes_no_temporary_files(begun_worker: None):
    with closing(connection.copy("default")) as own, own.cursor() as cursor:
        assert cursor.execute("PRAGMA temp_store").fetchone() == (IN_MEMORY,)


def test_model_that_does_not_load_fails_the_batch(fruit: RegisteredModel, settings, tmp_path: Path):
    settings.RECOGNIZER_ARTIFACT_DIR = tmp_path
    rows = [upload(picture(seed), owner=OWNER) for seed in range(2)]

    work()

    assert {after(row).status for row in rows} == {Status.FAILED}
    assert {after(row).error_code for row in rows} == {"model_failed"}


def test_retry_after_a_repair_succeeds(fruit: RegisteredModel, settings, tmp_path: Path, tiny_folder: Path):
    settings.RECOGNIZER_ARTIFACT_DIR = tmp_path
    row = upload(owner=OWNER)
    work()
    shutil.copytree(tiny_folder, tmp_path / tiny_folder.name)

    assert after(row).retry()
    work()

    assert after(row).status == Status.SUCCEEDED
    assert after(row).error_detail == ""


def test_answer_of_a_late_worker_is_dropped(fruit: RegisteredModel):
    row = upload(owner=OWNER)
    late = Prediction.objects.claim(limit=1, lease=timedelta(seconds=15))
    Prediction.objects.return_expired(now() + timedelta(minutes=1))
    work()
    answered = after(row)

    classify_claimed(late)

    assert after(row).finished_at == answered.finished_at
    assert after(row).attempts == 2


def test_row_that_saw_a_worker_die_has_nobody_beside_it(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    suspect = upload(picture(0), owner=OWNER)
    Prediction.objects.claim(limit=1, lease=timedelta(seconds=-1))
    Prediction.objects.return_expired(now())
    others = [upload(picture(seed), owner=OWNER) for seed in range(1, 5)]
    at_once: dict[bytes, int] = {}
    inside: list[bytes] = []
    load = Preprocessing.load

    def watched(self: Preprocessing, raw: bytes, **options):
        inside.append(raw)
        time.sleep(0.05)
        for one in inside:
            at_once[one] = max(at_once.get(one, 0), len(inside))
        inside.remove(raw)
        return load(self, raw, **options)

    monkeypatch.setattr(Preprocessing, "load", watched)

    work()

    assert {after(row).status for row in (suspect, *others)} == {Status.SUCCEEDED}
    assert at_once[picture(0)] == 1
    assert max(at_once.values()) == min(3, num_threads())


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(num_threads() < 2, reason="one core")
def test_slow_picture_holds_nobody_up(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    slow, quick = upload(picture(0), owner=OWNER), picture(1)
    load = Preprocessing.load

    def watched(self: Preprocessing, raw: bytes, **options):
        if raw == picture(0):
            upload(quick, owner=OWNER)
            connection.close()
            time.sleep(1)
        return load(self, raw, **options)

    monkeypatch.setattr(Preprocessing, "load", watched)

    work()

    [second] = Prediction.objects.exclude(pk=slow.pk)
    assert second.status == after(slow).status == Status.SUCCEEDED
    assert second.finished_at < after(slow).finished_at


def test_unforeseen_error_leaves_one_row_to_its_lease(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    load = Preprocessing.load

    def odd(self: Preprocessing, raw: bytes, **options):
        if raw == picture(0):
            raise ArithmeticError("unforeseen")
        return load(self, raw, **options)

    monkeypatch.setattr(Preprocessing, "load", odd)
    bad, *good = [upload(picture(seed), owner=OWNER) for seed in range(4)]

    work()

    assert {after(row).status for row in good} == {Status.SUCCEEDED}
    assert after(bad).status == Status.RUNNING
    assert after(bad).lease_until


def test_answer_is_announced_only_once_it_is_stored(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    announced: dict[uuid.UUID, str] = {}
    monkeypatch.setattr(doorbell, "announce", announced.update)
    row = upload(owner=OWNER)
    batches = iter([tasks._claim(1, alone=True, without=[])])

    def claim(_limit: int, **_: object) -> list[Prediction]:
        if connection.savepoint_ids:  # in the transaction of the answer; the test's own has none
            raise OperationalError("gone")
        return next(batches, [])

    with pytest.raises(OperationalError):
        classify(claim, until=time.monotonic() + 10)
    assert (announced, after(row).status) == ({}, Status.RUNNING)

    lose_leases()
    work()
    assert (list(announced), after(row).status, after(row).attempts) == ([row.pk], Status.SUCCEEDED, 2)


def test_model_that_does_not_load_keeps_no_other_waiting(fruit: RegisteredModel):
    broken = serve_tiny("broken", "0" * 64)
    rows = [upload(picture(seed), owner=OWNER, model=name) for seed, name in enumerate(["broken", "fruit"] * 2)]

    classify(tasks._claim, until=time.monotonic() + 10)

    assert {(after(row).model, after(row).status) for row in rows} == {
        (broken, Status.FAILED),
        (fruit, Status.SUCCEEDED),
    }


@pytest.mark.parametrize("text", ["", "1", "null", "[1]", "{}", '{"label": "a"}', '{"odd": 1}', "not json"])
def test_answer_of_another_making_changes_nothing(fruit_rows: RegisteredModel, text: str):
    row = upload(owner=OWNER)

    assert not unpack(text, row)
    assert (row.status, row.label) == (Status.PENDING, "")


def test_answer_that_travels_says_what_the_row_says(fruit: RegisteredModel):
    for raw in (picture(0), undecodable()):
        sent = upload(raw, owner=OWNER)
        [claimed] = Prediction.objects.claim(limit=1, lease=timedelta(seconds=15))
        classify_claimed([claimed])

        unpack(pack(claimed), sent)

        stored = after(sent)
        for name in WRITTEN_BY_WORKER:
            assert getattr(sent, name) == getattr(stored, name), name


def test_stored_scores_do_not_depend_on_neighbours(fruit: RegisteredModel):
    alone = upload(picture(0), owner=OWNER, top_k=1)
    work()
    beside = upload(picture(0), owner=OWNER, top_k=1)
    upload(picture(1), owner=OWNER, top_k=20)
    work()

    assert len(after(alone).scores) == len(after(beside).scores)


def test_record_names_the_version_that_ran(fruit: RegisteredModel):
    row = upload(owner=OWNER)

    work()

    assert after(row).version == fruit.desired_version()
    assert (after(row).engine, after(row).device) == ("openvino", "cpu")
    assert after(row).known is True
    assert after(row).decode_ms > 0
    assert after(row).inference_ms > 0


def test_time_limit_is_shorter_than_the_lease():
    assert timedelta(seconds=tasks.BATCH_SECONDS) < tasks.LEASE
    assert tasks.classify_pending.time_limit == tasks.BATCH_SECONDS + tasks.DRAIN_SECONDS
    assert tasks.classify_pending.acks_late


def test_reconcile_returns_rows_of_dead_workers(fruit: RegisteredModel):
    upload(owner=OWNER)
    Prediction.objects.claim(limit=1, lease=timedelta(seconds=-1))

    tasks.reconcile()

    assert Prediction.objects.pending().count() == 1


def without_memory(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Loading a model takes more memory than there is, the first `times`."""
    load, left = serving.load, iter(range(times))

    def load_greedily(row: ModelVersion) -> serving.ServingVersion:
        if next(left, None) is not None:
            raise MemoryError
        return load(row)

    monkeypatch.setattr(serving, "load", load_greedily)


def lose_leases() -> None:
    Prediction.objects.return_expired(now() + 2 * tasks.LEASE)


def test_model_that_finds_no_memory_is_tried_again(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    without_memory(monkeypatch, times=1)
    rows = [upload(picture(seed), owner=OWNER) for seed in range(3)]

    work()
    assert {after(row).status for row in rows} == {Status.RUNNING}
    lose_leases()
    work()

    assert {(after(row).status, after(row).attempts) for row in rows} == {(Status.SUCCEEDED, 2)}


def test_model_that_never_finds_memory_ends_with_a_reason(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    without_memory(monkeypatch, times=100)
    row = upload(owner=OWNER)

    for _ in range(MAX_ATTEMPTS):
        work()
        lose_leases()

    assert (after(row).status, after(row).attempts) == (Status.FAILED, MAX_ATTEMPTS)
    assert "Retry" in after(row).error_detail
