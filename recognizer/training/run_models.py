"""Training runs: what a model learned from a snapshot, how it went, and the candidate that came of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Max
from django.utils.timezone import now

from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.training.models import LEASE, MAX_ATTEMPTS, DatasetSnapshot, Job, JobQuerySet

RUNS = "runs"  # below MEDIA_ROOT and in the storage
REPORT = "report.html"


class TrainingRunQuerySet(JobQuerySet["TrainingRun"]):
    def ask(self, model: RegisteredModel, **fields: Any) -> "TrainingRun":
        """A pending run with the model's next number and a folder of its own."""
        with transaction.atomic():
            RegisteredModel.objects.select_for_update().get(pk=model.pk)
            number = (self.filter(model=model).aggregate(newest=Max("number"))["newest"] or 0) + 1
            # Not by the number alone: a restored database gives it once more, and the folder may be there.
            folder = f"{model.name}-run-{number}-{uuid4().hex[:8]}"
            return self.create(model=model, number=number, folder=folder, **fields)

    def startable(self) -> "TrainingRunQuerySet":
        """Those that wait for nothing but a worker."""
        return self.filter(status=Job.Status.PENDING, snapshot__status=Job.Status.READY)

    def unfinished(self) -> "TrainingRunQuerySet":
        return self.filter(status__in=(Job.Status.PENDING, Job.Status.RUNNING))

    def claim(self) -> "TrainingRun | None":
        return next((run for run in self.startable().order_by("pk") if run.start()), None)

    def return_expired(self, at: datetime) -> int:
        """Put runs whose worker vanished back in the queue; end those that were cancelled, or that get nowhere."""
        expired = self.filter(status=Job.Status.RUNNING, lease_until__lt=at)
        ended: dict[str, Any] = {"finished_at": at, "lease_until": None, "progress": "", "eta_seconds": None}
        expired.exclude(cancel_requested_at=None).update(status=Job.Status.CANCELLED, **ended)
        # An attempt that finished an epoch got further: a run of days may see many workers.
        expired.filter(attempts__gte=F("fruitful_attempt") + MAX_ATTEMPTS).update(
            status=Job.Status.FAILED,
            error="The worker ended in the middle of it, each time it was tried. Its log may say why.",
            **ended,
        )
        self.filter(status=Job.Status.PENDING, snapshot__status=Job.Status.FAILED).update(
            status=Job.Status.FAILED, error="There is no snapshot to learn from: freezing it failed.", **ended
        )
        return expired.update(status=Job.Status.PENDING, lease_until=None, progress="", eta_seconds=None)


class TrainingRun(Job):
    """A model learns from a snapshot, on a worker of the queue `train`. At its end stands a candidate version.

    PENDING -> RUNNING -> READY | FAILED | CANCELLED
    RUNNING -> PENDING               when the worker stopped or vanished; the finished epochs are kept
    FAILED | CANCELLED -> PENDING    when a person lets it go on

    What was asked for never changes.
    """

    class Start(models.TextChoices):
        SERVING = "serving", "the serving version"
        WEIGHTS = "weights"
        SCRATCH = "scratch", "from scratch"

    class Preset(models.TextChoices):
        QUICK = "quick", "quick: only the head learns"
        BALANCED = "balanced", "balanced: the whole network learns"
        THOROUGH = "thorough", "thorough: longer, with stronger changes to the photos"

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="training_runs")
    number = models.PositiveIntegerField()
    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.PROTECT, related_name="training_runs")
    architecture = models.CharField(max_length=100)
    start_kind = models.CharField(max_length=10, choices=Start)
    start_version = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="+", help_text="Whose weights it starts from."
    )
    start_file = models.CharField(max_length=200, blank=True, help_text="The file in media/weights it starts from.")
    preset = models.CharField(max_length=10, choices=Preset)
    config = models.JSONField(default=dict, help_text="All options, as they are used.")
    folder = models.CharField(max_length=120, unique=True, help_text="Below media/runs.")
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    candidate = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="training_runs")
    cleaned_at = models.DateTimeField(null=True, help_text="When its folder was removed.")
    # How it goes
    fruitful_attempt = models.PositiveSmallIntegerField(default=0, help_text="The last one that finished an epoch.")
    epoch = models.PositiveIntegerField(default=0, help_text="Finished epochs.")
    curves = models.JSONField(default=list, help_text="Losses, accuracies and learning rate of each epoch.")
    eta_seconds = models.PositiveIntegerField(null=True)
    log_tail = models.TextField(blank=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "training run"
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="run_number_once_per_model")]
        indexes = [models.Index(fields=["status"], name="run_by_status")]

    def __str__(self) -> str:
        return f"{self.model.name} training run {self.number}"

    @property
    def num_epochs(self) -> int:
        return int(self.config.get("epochs", 0))

    @property
    def path(self) -> Path:
        """Its folder on this machine."""
        return Path(settings.MEDIA_ROOT) / RUNS / self.folder

    @property
    def report_name(self) -> str:
        """Its report's name in the storage."""
        return f"{RUNS}/{self.folder}/{REPORT}"

    def has_erased_photos(self) -> bool:
        """Whether photos that the report may show were erased since the run began."""
        return self.snapshot.items.filter(erased_at__gt=self.created_at).exists()

    @property
    def starts_from(self) -> str:
        """In words."""
        if self.start_version is not None:
            return str(self.start_version)
        return self.start_file or str(self.Start.SCRATCH.label)

    def cancel(self) -> bool:
        """Stop it: at once where it waits, within seconds where it runs. False means it has ended already."""
        runs, at = TrainingRun.objects.filter(pk=self.pk), now()
        waiting = runs.filter(status=self.Status.PENDING)
        if waiting.update(status=self.Status.CANCELLED, cancel_requested_at=at, finished_at=at):
            return True
        return runs.filter(status=self.Status.RUNNING).update(cancel_requested_at=at) == 1

    def go_on(self) -> bool:
        """Queue it once more; it goes on after its last finished epoch. False means that it has not stopped."""
        stopped = TrainingRun.objects.filter(pk=self.pk, status__in=(self.Status.FAILED, self.Status.CANCELLED))
        return self._change(
            stopped,
            status=self.Status.PENDING,
            error="",
            cancel_requested_at=None,
            finished_at=None,
            cleaned_at=None,
            fruitful_attempt=F("attempts"),
        )

    def report(self, progress: str, *, log_tail: str, eta_seconds: int | None) -> bool:
        """Say that we are alive and how it goes. False means the run is not ours any more: stop."""
        lively = {"lease_until": now() + LEASE, "progress": progress[:200]}
        return self._change(self._ours(), **lively, log_tail=log_tail, eta_seconds=eta_seconds)

    def record(self, curves: Sequence[Mapping[str, Any]]) -> bool:
        """Keep the figures of the epochs so far. False means the run is not ours any more: stop."""
        done = {"curves": list(curves), "epoch": len(curves), "fruitful_attempt": self.attempts}
        return self._change(self._ours(), **done)

    def is_cancel_requested(self) -> bool:
        """Whether somebody wants it to stop, as the database says now."""
        return TrainingRun.objects.filter(pk=self.pk).exclude(cancel_requested_at=None).exists()

    def end_cancelled(self) -> bool:
        """Store that it was stopped. False means a later attempt owns the run now."""
        return self._end(status=self.Status.CANCELLED, eta_seconds=None)

    def release(self) -> bool:
        """Give it back to the queue: this worker stops, the next one goes on."""
        waiting = {"status": self.Status.PENDING, "lease_until": None, "progress": "", "eta_seconds": None}
        return self._change(self._ours(), **waiting)
