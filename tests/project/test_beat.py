"""Beat under a clock that is set back."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings

from recognizer.beat import SteadyScheduler
from recognizer.celery import app as our_app

HOUR = timedelta(hours=1)


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery(set_as_current=False, broker="memory://")
    app.conf.beat_schedule = {"reconcile": {"task": "reconcile", "schedule": 5.0}}
    yield app
    app.close()


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "schedule")


def run_ahead(scheduler: SteadyScheduler) -> None:
    """As if all that happened so far had happened an hour later than the clock says now."""
    for entry in scheduler.schedule.values():
        entry.last_run_at += HOUR
    scheduler.tick()
    scheduler._ticked_at = time.time() + HOUR.total_seconds()


def test_beat_runs_with_it():
    assert f"{SteadyScheduler.__module__}:{SteadyScheduler.__name__}" == settings.CELERY_BEAT_SCHEDULER
    assert our_app.conf.beat_scheduler == settings.CELERY_BEAT_SCHEDULER


def test_clock_set_back_delays_by_one_period_at_most(app: Celery, file: str):
    scheduler = SteadyScheduler(app, schedule_filename=file)
    run_ahead(scheduler)

    assert scheduler.tick() <= 5
    scheduler.close()


def test_clock_set_back_while_beat_was_down_delays_no_more(app: Celery, file: str):
    before = SteadyScheduler(app, schedule_filename=file)
    run_ahead(before)
    before.close()

    scheduler = SteadyScheduler(app, schedule_filename=file)

    assert scheduler.tick() <= 5
    scheduler.close()


def test_clock_that_goes_on_changes_nothing(app: Celery, file: str):
    scheduler = SteadyScheduler(app, schedule_filename=file)
    scheduler.schedule["reconcile"].last_run_at -= timedelta(seconds=3)

    assert scheduler.tick() <= 2
    assert scheduler.tick() <= 2
    scheduler.close()
