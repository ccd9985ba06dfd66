"""Doors of the train worker. A task may be delivered twice or never; the rows decide what is done."""

import os
import signal

import structlog
from billiard import active_children
from celery import shared_task
from celery.signals import worker_process_init, worker_shutting_down
from django.conf import settings
from django.utils.timezone import now

from recognizer.training import bell, run_course
from recognizer.training.checkup_models import CheckUp
from recognizer.training.models import DatasetSnapshot, Job, Judging, LeaseLost, PhotoImport
from recognizer.training.run_asking import TASK, retrain_when_due
from recognizer.training.run_models import TrainingRun

log = structlog.get_logger(__name__)

TEND_SECONDS = 10
STOP_SIGNAL = signal.SIGUSR2  # from a worker that stops to its child: SIGTERM would end it at once


@shared_task(name="freeze")
def freeze_pending() -> None:
    """Freeze the snapshots that were asked for."""
    from recognizer.training.snapshots import freeze  # loads numpy, and a runtime at the first photo

    while snapshot := DatasetSnapshot.objects.claim():
        try:
            freeze(snapshot)
        except LeaseLost as lost:
            log.warning(str(lost))


@shared_task(name="import-photos")
def import_pending() -> None:
    """Unpack the zips of base photos that were handed in."""
    from recognizer.training.importing import unpack

    while photo_import := PhotoImport.objects.claim():
        unpack(photo_import)


@shared_task(name="check-photos")
def check_pending() -> None:
    """Look at the photos of models whose check-up was asked for."""
    from recognizer.training.checkups import check

    while checkup := CheckUp.objects.claim():
        try:
            check(checkup)
        except LeaseLost as lost:
            log.warning(str(lost))


@shared_task(name="judge")
def judge_pending() -> None:
    """Judge the versions that were asked for."""
    from recognizer.training.judging_versions import judge  # loads a runtime

    while judging := Judging.objects.claim():
        try:
            judge(judging)
        except LeaseLost as lost:
            log.warning(str(lost))


@shared_task(name=TASK)
def train_pending() -> None:
    """Train the oldest run that waits. One for each ring: the memory of a run ends with its process."""
    from recognizer.training.runs import execute  # loads torch

    run_course.yield_to_others()
    if (run := TrainingRun.objects.claim()) is None:
        return
    try:
        execute(run)
    except LeaseLost as lost:
        log.warning(str(lost))
    except Exception:  # the outermost frame: torch has errors of every kind
        log.exception("a training run broke off", run=str(run))
        run.fail("An error that nobody foresaw ended it; the worker's log tells more. Let it go on, or ask otherwise.")
    if TrainingRun.objects.startable().exists():
        bell.ring(TASK)


@shared_task(name="clean-runs")
def clean_runs() -> None:
    """Remove what old runs left on disk, by the rule in docs/operations.md."""
    from recognizer.training.run_cleaning import clean

    for words in clean():
        log.info(words)


@shared_task(name="retrain-when-due", time_limit=TEND_SECONDS)
def retrain() -> None:
    """Freeze and train where enough was reviewed, if the settings ask for it."""
    for run in retrain_when_due(settings.RECOGNIZER_RETRAIN_AFTER_REVIEWS):
        log.info("enough was reviewed to train", run=str(run))


WORK: tuple[tuple[str, type[Job]], ...] = (
    ("freeze", DatasetSnapshot),
    ("import-photos", PhotoImport),
    ("check-photos", CheckUp),
    (TASK, TrainingRun),
    ("judge", Judging),
)


@shared_task(name="tend", time_limit=TEND_SECONDS)
def tend() -> None:
    """Return jobs of vanished workers and ring for jobs whose ring was lost. Two at once are harmless."""
    for task, kind in WORK:
        jobs = kind._default_manager
        jobs.return_expired(now())  # type: ignore[attr-defined]
        if jobs.filter(status=Job.Status.PENDING).exists():
            bell.ring(task)


@worker_process_init.connect
def _listen(sender: str = "", **_: object) -> None:
    if sender.startswith("train@"):
        signal.signal(STOP_SIGNAL, lambda *_: run_course.stopping.set())


@worker_shutting_down.connect
def _stop_training(sender: str = "", **_: object) -> None:
    # A warm shutdown waits for the task, and a run takes hours: it goes back to the queue after its last epoch instead.
    if sender.startswith("train@"):
        for pid in filter(None, (child.pid for child in active_children())):
            os.kill(pid, STOP_SIGNAL)
