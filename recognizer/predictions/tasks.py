"""Doors of the worker. A task may be delivered twice or never; the rows decide what is done."""

import gc
import os
import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_process_init, worker_process_shutdown, worker_ready
from django.conf import settings
from django.db import connection
from django.db.backends.signals import connection_created
from django.db.models import Q
from django.utils.timezone import now

from recognizer.predictions import doorbell
from recognizer.predictions.models import Prediction
from recognizer.supervisor.orphans import die_with_parent

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=15)
BATCH_SECONDS = 12  # the longest that what was claimed may take; shorter than the lease, or two workers answer one row
# A drain stops after this and rings again, so that the time limit of the task is the time limit of one batch.
DRAIN_SECONDS = 2
# With nothing left to do the drain listens for so long: the next upload costs no task, which is 10 ms of its answer.
LISTEN_SECONDS = 0.5
LOOK_SECONDS = 2
OPINION_SECONDS = 4  # of the 5 between two of these tasks
# People wait for recognition, so what trains gets a third of what that gets of a busy processor; and not less, since a
# run must end too on a machine that is always busy.
TRAIN_NICE = 5
STALE = timedelta(seconds=3)  # a row that waited this long has lost its ring


@shared_task(name="predict", acks_late=True, time_limit=DRAIN_SECONDS + BATCH_SECONDS)
def classify_pending() -> None:
    """Answer waiting predictions until none is left. Safe to deliver twice."""
    from recognizer.predictions.classify import classify  # loads a runtime: workers only

    doorbell.clear()  # before the first claim, or a ring between the two is lost
    # Here too: under a steady backlog this runs every 2 s, whatever else waits.
    Prediction.objects.return_expired(now())
    end = time.monotonic() + DRAIN_SECONDS
    is_rung = True
    try:
        while is_rung and time.monotonic() < end:
            classify(_claim, until=end)
            is_rung = _hears_more(end)
    except MemoryError:  # escaped, it would end the whole worker
        log.exception("out of memory, the rows are tried again")
    if Prediction.objects.has_pending():
        doorbell.ring()


def _hears_more(end: float) -> bool:
    """Whether something waits, or comes soon. It only looks: a worker that is busy must not count as listening."""
    with doorbell.listening(LISTEN_SECONDS):
        if Prediction.objects.has_pending():
            return True
        return doorbell.wait_for_ring(min(LISTEN_SECONDS, end - time.monotonic()))


def _claim(limit: int, *, alone: bool, without: Collection[int]) -> list[Prediction]:
    return Prediction.objects.claim(limit=limit, lease=LEASE, alone=alone, without=without)


@shared_task(name="reconcile", time_limit=BATCH_SECONDS)
def reconcile() -> None:
    """Return rows of vanished workers and ring for rows whose ring was lost. Two at once are harmless."""
    at = now()
    Prediction.objects.return_expired(at)
    # A row that is younger than now was stored before the clock was set back.
    if Prediction.objects.pending().filter(Q(created_at__lt=at - STALE) | Q(created_at__gt=at)).exists():
        doorbell.ring()


@shared_task(name="sweep", time_limit=BATCH_SECONDS)
def sweep() -> None:
    """Remove what no row names any more, a small part of all files a minute: recognition waits meanwhile."""
    from recognizer.predictions.sweeping import sweep_part

    sweep_part(int(time.time() // 60))


@shared_task(name="look", time_limit=BATCH_SECONDS)
def look() -> None:
    """Find near-duplicates among answered pictures, for at most LOOK_SECONDS, and only while nothing waits."""
    from recognizer.predictions.looks import look_at_new

    look_at_new(until=time.monotonic() + LOOK_SECONDS, is_busy=Prediction.objects.has_pending)


@shared_task(name="second-opinions", time_limit=OPINION_SECONDS + BATCH_SECONDS)
def second_opinions() -> None:
    """Let versions on trial look at answered pictures: for OPINION_SECONDS at most, and only while nothing waits."""
    from recognizer.predictions.second_opinions import give_second_opinions

    give_second_opinions(until=time.monotonic() + OPINION_SECONDS, is_busy=Prediction.objects.has_pending)


@worker_ready.connect
def _look_for_work(sender: Any = None, **_: object) -> None:
    if not _is_predictor(sender.hostname):
        return
    Prediction.objects.return_expired(now())
    doorbell.clear()
    doorbell.ring()


@worker_process_init.connect
def _start_serving(sender: str = "", **_: object) -> None:
    from recognizer.registry import serving, timekeeping

    die_with_parent()
    connection_created.connect(_relax_sync)
    if not _is_predictor(sender):
        os.nice(TRAIN_NICE)
        return
    connection_created.connect(_write_no_temporary_files)
    gc.collect()
    gc.freeze()  # this code stays, models come and go: to look through it would hold up recognition for 80 ms each time
    serving.start()
    if settings.RECOGNIZER_TIME_ENGINES:
        timekeeping.start(is_wanted=Prediction.objects.has_unfinished)
    doorbell.ring()  # rows that waited for this child, whose predecessor may have been killed while it listened


@worker_process_shutdown.connect
def _stop_serving(**_: object) -> None:
    from recognizer.registry import serving

    serving.stop()


def _is_predictor(hostname: str) -> bool:
    """Whether this worker answers: those named train@... load no model."""
    return not hostname.startswith("train@")


def _relax_sync(sender: object, connection: object = connection, **_: object) -> None:
    # A power cut may undo a worker's last commits; the rows are then pending again and are answered again.
    _tell_sqlite(connection, "synchronous=NORMAL")


def _write_no_temporary_files(sender: object, connection: object = connection, **_: object) -> None:
    """SQLite notes how to take back an UPDATE that changes many pages: in memory.

    By default it made, wrote and removed a file for almost every second answer.
    """
    _tell_sqlite(connection, "temp_store=MEMORY")


def _tell_sqlite(connection: Any, pragma: str) -> None:
    if connection.vendor == "sqlite":
        connection.cursor().execute(f"PRAGMA {pragma}")
