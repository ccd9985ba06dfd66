"""Ask for a training run; `runs.py` executes it."""

from dataclasses import replace

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from classifier_core.errors import TrainingFailed
from classifier_core.training.config import TrainConfig
from recognizer.predictions.models import Review
from recognizer.registry.models import RegisteredModel
from recognizer.training import bell
from recognizer.training.asking import ask_for_snapshot
from recognizer.training.models import DatasetSnapshot, Job
from recognizer.training.options import SnapshotOptions
from recognizer.training.run_models import TrainingRun
from recognizer.training.run_options import RunOptions, RunStart, build_config, find_start

TASK = "train"


def ask_for_run(snapshot: DatasetSnapshot, options: RunOptions, *, by: User | None, rings: bool = True) -> TrainingRun:
    """A pending run, which starts once the snapshot is ready and a worker is free. Raises TrainingFailed."""
    start, config = check(snapshot, options)
    model = snapshot.model
    with transaction.atomic():
        run = TrainingRun.objects.ask(
            model,
            snapshot=snapshot,
            architecture=config.arch,
            start_kind=start.kind,
            start_version=start.version,
            start_file=start.file,
            preset=options.preset,
            config=config.to_dict(),
            created_by=by,
        )
        if rings:
            transaction.on_commit(ring, robust=True)
    return run


def check(snapshot: DatasetSnapshot, options: RunOptions) -> tuple[RunStart, TrainConfig]:
    """What a run would start from, and its whole configuration. Raises TrainingFailed."""
    if snapshot.status in (Job.Status.FAILED, Job.Status.CANCELLED):
        raise TrainingFailed(f"{snapshot} holds no photos: freezing it failed. Freeze another one.")
    start = find_start(snapshot.model, options.start)
    return start, build_config(snapshot.model, start, options)


def ring() -> None:
    """Wake the train worker."""
    bell.ring(TASK)


def go_on(run: TrainingRun, *, rings: bool = True) -> bool:
    """Queue a run that stopped once more. False means that it has not stopped."""
    with transaction.atomic():
        is_queued = run.go_on()
        if is_queued and rings:
            transaction.on_commit(ring, robust=True)
    return is_queued


def retrain_when_due(num_reviews: int) -> list[TrainingRun]:
    """Freeze and train each model with so many new reviews since its newest snapshot; 0: never. Only when nothing runs.

    Each run is asked for as the model's last one was, and starts from what serves.
    """
    if not num_reviews or TrainingRun.objects.unfinished().exists():
        return []
    models = [model for model in RegisteredModel.objects.all() if new_reviews(model) >= num_reviews]
    return [run for model in models if (run := _retrain(model)) is not None]


def new_reviews(model: RegisteredModel) -> int:
    """Recognitions that may train and were reviewed since the newest snapshot was asked for."""
    newest = DatasetSnapshot.objects.filter(model=model).order_by("-number").first()
    since = Q(created_at__gt=newest.created_at) if newest else Q()
    verdicts = (Review.Verdict.CONFIRMED, Review.Verdict.CORRECTED)
    told = Review.objects.newest().filter(since, prediction__model=model, verdict__in=verdicts)
    return told.filter(prediction__image__train_allowed=True).count()


def _retrain(model: RegisteredModel) -> TrainingRun | None:
    if (
        model.desired_version() is None
        or DatasetSnapshot.objects.filter(model=model, status__in=(Job.Status.PENDING, Job.Status.RUNNING)).exists()
    ):
        return None
    newest = DatasetSnapshot.objects.filter(model=model).order_by("-number").first()
    options = SnapshotOptions.from_dict(newest.options) if newest else SnapshotOptions()
    last = TrainingRun.objects.filter(model=model).order_by("-number").first()
    with transaction.atomic():
        # A last day would leave the new reviews out.
        snapshot = ask_for_snapshot(model, replace(options, until=None), by=None)
        return ask_for_run(snapshot, RunOptions(preset=last.preset if last else "balanced"), by=None)
