"""Rings, and what a dead or hung broker costs."""

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import redis
from django.test import Client

from recognizer import broker as own
from recognizer.predictions import doorbell, tasks
from recognizer.predictions.models import Prediction
from recognizer.registry.models import RegisteredModel
from tests.recognition import picture, post


def test_ring_is_left_out_while_one_is_pending(broker):
    assert all(doorbell.ring() for _ in range(5))

    assert broker.llen("predict") == 1


def test_ring_after_the_clear_comes_through(broker):
    doorbell.ring()
    doorbell.clear()
    doorbell.ring()

    assert broker.llen("predict") == 2


def test_flag_of_a_lost_ring_expires(broker):
    doorbell.ring()

    assert 0 < broker.ttl(doorbell.PENDING_RING) <= doorbell.RING_SECONDS


@pytest.mark.django_db
def test_flag_is_cleared_before_the_first_claim(broker, fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    doorbell.ring()
    seen = []
    # The claim itself is watched: nothing else tells when it came.
    monkeypatch.setattr(Prediction.objects, "claim", lambda **_: seen.append(broker.exists(doorbell.PENDING_RING)))

    tasks.classify_pending()

    assert seen[0] == 0


def test_upload_rings_after_its_commit(client: Client, transactional_db: None, fruit_rows: RegisteredModel, broker):
    post(client)

    assert broker.llen("predict") == 1


def test_announcement_before_the_wait_is_heard(broker):
    row = uuid.uuid4()
    doorbell.announce({row: "banana"})

    assert doorbell.wait_for(row, seconds=5) == "banana"
    assert doorbell.wait_for(row, seconds=5) == "banana"  # whoever waits beside hears it too


def test_each_announcement_reaches_its_own(broker):
    rows = [uuid.uuid4() for _ in range(3)]
    doorbell.announce({row: f"answer {number}" for number, row in enumerate(rows)})

    assert [doorbell.wait_for(row, seconds=5) for row in rows] == ["answer 0", "answer 1", "answer 2"]
    assert 0 < broker.ttl(f"recognizer:answer:{rows[2]}") <= doorbell.ANSWER_SECONDS


def test_announcement_without_an_answer_ends_the_wait(broker):
    row = uuid.uuid4()
    doorbell.announce({row: ""})
    start = time.monotonic()

    assert doorbell.wait_for(row, seconds=5) == ""
    assert time.monotonic() - start < 2


def test_ring_reaches_a_listening_worker_without_a_task(broker):
    with doorbell.listening(5):
        assert all(doorbell.ring() for _ in range(3))
        assert broker.llen("predict") == 0
        assert doorbell.wait_for_ring(5)
        assert not doorbell.wait_for_ring(0.01)  # three rings, one look

    doorbell.ring()
    assert broker.llen("predict") == 1


def test_ring_of_an_earlier_listener_wakes_nobody(broker):
    with doorbell.listening(5):
        doorbell.ring()
    with doorbell.listening(5):
        assert not doorbell.wait_for_ring(0.01)


def test_killed_listener_is_forgotten(broker):
    with doorbell.listening(1):
        assert 0 < broker.pttl(doorbell.LISTENING) <= 2000


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain that does not end while a model is loaded on a busy machine."""
    monkeypatch.setattr(tasks, "DRAIN_SECONDS", 60)


@pytest.mark.django_db
@pytest.mark.usefixtures("unhurried")
def test_busy_worker_does_not_count_as_listening(
    client: Client, fruit: RegisteredModel, broker, monkeypatch: pytest.MonkeyPatch
):
    """Else an idle one beside it is not rung for."""
    seen, claim = [], Prediction.objects.claim

    def watched(**options):
        rows = claim(**options)
        if rows:
            seen.append(broker.exists(doorbell.LISTENING))
        return rows

    monkeypatch.setattr(Prediction.objects, "claim", watched)
    pictures = [picture(seed) for seed in range(3)]
    looks = Prediction.objects.has_pending

    def upload_then_look() -> bool:
        if broker.exists(doorbell.LISTENING) and pictures:
            post(client, pictures.pop())  # comes just after the worker began to listen
        return looks()

    monkeypatch.setattr(Prediction.objects, "has_pending", upload_then_look)

    tasks.classify_pending()

    assert seen == [0, 0, 0]


@pytest.mark.django_db
@pytest.mark.usefixtures("unhurried")
def test_upload_while_the_worker_listens_is_answered_by_the_same_task(
    client: Client, fruit: RegisteredModel, broker, monkeypatch: pytest.MonkeyPatch
):
    wait = doorbell.wait_for_ring
    pictures = [picture(seed) for seed in range(3)]

    def upload_then_wait(seconds: float) -> bool:
        if pictures:
            post(client, pictures.pop())
            doorbell.ring()  # the test's own transaction never commits
        return wait(min(seconds, 0.05))

    monkeypatch.setattr(doorbell, "wait_for_ring", upload_then_wait)

    tasks.classify_pending()

    assert set(Prediction.objects.values_list("status", flat=True)) == {"succeeded"}
    assert Prediction.objects.count() == 3
    assert broker.llen("predict") == 0


def test_wait_ends_in_time(broker):
    start = time.monotonic()

    assert not doorbell.wait_for(uuid.uuid4(), seconds=1)
    assert 0.9 < time.monotonic() - start < 2


def test_announcement_is_forgotten(broker):
    doorbell.announce({uuid.uuid4(): "banana"})

    [key] = broker.keys("recognizer:answer:*")
    assert 0 < broker.ttl(key) <= doorbell.ANSWER_SECONDS


def upload_seconds(client: Client, seed: int) -> float:
    start = time.monotonic()
    reply = post(client, picture(seed), headers={"Prefer": "wait=10"})
    assert reply.status_code == 202
    return time.monotonic() - start


def test_dead_broker_costs_no_upload(client: Client, transactional_db: None, fruit_rows: RegisteredModel):
    assert upload_seconds(client, 0) < 2
    assert Prediction.objects.pending().count() == 1


def test_hung_broker_delays_one_upload_a_little(
    client: Client, transactional_db: None, fruit_rows: RegisteredModel, hung_broker: None
):
    assert upload_seconds(client, 0) < 2
    assert upload_seconds(client, 1) < 0.9  # the first one found out for all
    assert Prediction.objects.pending().count() == 2


def test_broker_that_comes_back_is_used_again(hung_broker: None, settings, request: pytest.FixtureRequest):
    hung = settings.RECOGNIZER_BROKER_URL
    assert not doorbell.ring()
    assert hung == settings.RECOGNIZER_BROKER_URL
    settings.RECOGNIZER_BROKER_URL = f"unix://{settings.RECOGNIZER_BROKER_SOCKET}"
    own.forget()
    broker = request.getfixturevalue("broker")
    doorbell._quiet.until = 0.0

    assert doorbell.ring()
    assert broker.llen("predict") == 1


@pytest.mark.django_db
def test_reconcile_rings_for_what_waited_long(fruit: RegisteredModel, client: Client, broker):
    post(client)
    tasks.reconcile()
    assert broker.llen("predict") == 0

    Prediction.objects.update(created_at=Prediction.objects.get().created_at - 2 * tasks.STALE)
    tasks.reconcile()
    tasks.reconcile()
    assert broker.llen("predict") == 1  # a second one while the first is on its way would only fill the queue


@pytest.mark.django_db
def test_drain_survives_a_dead_broker(fruit: RegisteredModel, client: Client):
    post(client)

    tasks.classify_pending()

    assert Prediction.objects.get().status == "succeeded"


def test_connection_that_the_broker_closed_is_replaced(broker):
    assert own.ask("PING") == b"PONG"
    broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert own.ask("PING") == b"PONG"


def test_many_threads_have_a_connection_each(broker):
    together = Barrier(40, timeout=20)

    def ask(_: int) -> bytes:
        together.wait()  # or a few threads do it all
        return own.ask("PING")

    for _ in range(3):  # more in all than a pool of the client makes
        with ThreadPoolExecutor(40) as threads:
            assert [*threads.map(ask, range(40))] == [b"PONG"] * 40


def test_answer_that_was_not_read_is_never_taken_for_another(broker, monkeypatch: pytest.MonkeyPatch):
    own.ask("PING")  # connected: the answer of the command itself is left unread
    with monkeypatch.context() as patched:
        patched.setattr("redis.connection.AbstractConnection.read_response", _out_of_memory)
        with pytest.raises(MemoryError):
            own.ask("ECHO", "somebody's answer")

    assert own.ask("ECHO", "mine") == b"mine"


def _out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError


def test_refusal_keeps_the_connection(broker):
    ours = own.ask("CLIENT", "ID")
    with pytest.raises(redis.ResponseError):
        own.ask("NO_SUCH_COMMAND")

    assert own.ask("CLIENT", "ID") == ours


def test_forked_process_has_a_connection_of_its_own(broker):
    ours = own.ask("CLIENT", "ID")
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        try:
            os.write(writing, str(own.ask("CLIENT", "ID")).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)

    with os.fdopen(reading) as said:
        assert int(said.read()) != ours == own.ask("CLIENT", "ID")
