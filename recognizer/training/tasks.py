"""Doors of the train worker. A task may be delivered twice or never; the rows decide what is done."""

import structlog
from celery import shared_task
from django.utils.timezone import now

from recognizer.training import bell
from recognizer.training.models import DatasetSnapshot, Job, Judging, PhotoImport

log = structlog.get_logger(__name__)

TEND_SECONDS = 10


@shared_task(name="freeze")
def freeze_pending() -> None:
    """Freeze the snapshots that were asked for."""
    from recognizer.training.snapshots import LeaseLost, freeze  # loads numpy, and a runtime at the first photo

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


@shared_task(name="judge")
def judge_pending() -> None:
    """Judge the versions that were asked for."""
    from recognizer.training.judging_versions import judge  # loads a runtime
    from recognizer.training.snapshots import LeaseLost

    while judging := Judging.objects.claim():
        try:
            judge(judging)
        except LeaseLost as lost:
            log.warning(str(lost))


WORK: tuple[tuple[str, type[Job]], ...] = (
    ("freeze", DatasetSnapshot),
    ("import-photos", PhotoImport),
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
