"""Photos that models learn from: base photos, the part of each in the split, and frozen snapshots of all that."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Max, Q, Value
from django.utils.timezone import now

from recognizer.predictions.models import Blob, UploadedImage
from recognizer.registry.models import AppendOnly, Judgement, Label, ModelVersion, RegisteredModel, TestState

J = TypeVar("J", bound="Job")

MAX_ATTEMPTS = 3  # then a job ends FAILED: what killed three workers would kill the fourth
LEASE = timedelta(seconds=90)  # renewed every few seconds while the worker lives


class Part(models.TextChoices):
    """What a photo is for."""

    TRAIN = "train"
    VAL = "val", "validation"
    TEST = "test"


class JobQuerySet(models.QuerySet[J]):
    def finished(self) -> Self:
        """Those that ended, well or not."""
        return self.exclude(status__in=(Job.Status.PENDING, Job.Status.RUNNING))

    def claim(self) -> J | None:
        """The oldest job that waits, now ours; None when there is none. The attempt is counted here."""
        for row in self.filter(status=Job.Status.PENDING).order_by("pk"):
            if row.start():
                return row
        return None

    def return_expired(self, at: datetime) -> int:
        """Put jobs whose worker vanished back in the queue, or end them after their last attempt."""
        expired = self.filter(status=Job.Status.RUNNING, lease_until__lt=at)
        expired.filter(attempts__gte=MAX_ATTEMPTS).update(
            status=Job.Status.FAILED,
            finished_at=at,
            lease_until=None,
            error="The worker ended in the middle of it, each time it was tried. Its log may say why.",
        )
        return expired.update(status=Job.Status.PENDING, lease_until=None)


class LeaseLost(RuntimeError):
    """Another worker has the job now."""


class Job(models.Model):
    """Work that takes a worker seconds or minutes. The row is the truth, a message only wakes the worker.

    PENDING -> RUNNING -> READY | FAILED
    RUNNING -> PENDING    when the lease ran out before the end came
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        READY = "ready"
        FAILED = "failed"
        CANCELLED = "cancelled"

    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    progress = models.CharField(max_length=200, blank=True, editable=False, help_text="What is being done now.")
    error = models.TextField(blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True

    @property
    def is_finished(self) -> bool:
        return self.status not in (self.Status.PENDING, self.Status.RUNNING)

    def start(self) -> bool:
        """Take the job. False means it is not pending any more."""
        waiting = type(self)._default_manager.filter(pk=self.pk, status=self.Status.PENDING)
        changes = {"attempts": self.attempts + 1, "lease_until": now() + LEASE, "progress": ""}
        return self._change(waiting.filter(attempts=self.attempts), status=self.Status.RUNNING, **changes)

    def renew(self, progress: str) -> bool:
        """Say that we are alive and where we are. False means the job is not ours any more: stop."""
        return self._change(self._ours(), lease_until=now() + LEASE, progress=progress[:200])

    def finish(self, **fields: Any) -> bool:
        """Store the outcome. False means a later attempt owns the job now."""
        return self._end(status=self.Status.READY, **fields)

    def fail(self, error: str) -> bool:
        """Store why there is no outcome. False means a later attempt owns the job now."""
        return self._end(status=self.Status.FAILED, error=error)

    def _end(self, **fields: Any) -> bool:
        return self._change(self._ours(), lease_until=None, progress="", finished_at=now(), **fields)

    def _ours(self) -> models.QuerySet[Self]:
        # Fenced by the attempt we claimed: a worker that lost its lease changes nothing.
        running = type(self)._default_manager.filter(pk=self.pk, status=self.Status.RUNNING)
        return running.filter(attempts=self.attempts)

    def _change(self, rows: models.QuerySet[Self], **fields: Any) -> bool:
        if rows.update(**fields) != 1:
            return False
        for name, value in fields.items():
            setattr(self, name, value)
        return True


class BasePhoto(models.Model):
    """A photo that an administrator gave the model to learn from, with its label. No upload, and nobody's."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="base_photos")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")
    label = models.ForeignKey(Label, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=300, blank=True, help_text="The file that it came from.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["model", "blob"], name="base_photo_once_per_model")]
        indexes = [models.Index(fields=["model", "label"], name="base_photo_by_label")]

    def __str__(self) -> str:
        return self.source or str(self.blob)


class PhotoImport(Job):
    """A zip of base photos that was handed in on a page; a worker unpacks it."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="photo_imports")
    file_name = models.CharField(max_length=255)
    archive = models.CharField(max_length=200, blank=True, help_text="Its name in the storage until it is unpacked.")
    adds_classes = models.BooleanField(default=False, help_text="Folders that no label is named like become labels.")
    num_added = models.PositiveIntegerField(default=0)
    num_known = models.PositiveIntegerField(default=0, help_text="Photos that were there already.")
    problems = models.JSONField(default=list, help_text="What was left out, a sentence each.")

    objects = JobQuerySet["PhotoImport"].as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "import of base photos"
        verbose_name_plural = "imports of base photos"

    def __str__(self) -> str:
        return self.file_name


class Judging(Job):
    """Somebody asked whether a version may take the place of what serves; a worker runs both on the test photos."""

    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="judgings")
    against = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="+", help_text="Else what serves by then."
    )
    judgement = models.OneToOneField(Judgement, null=True, on_delete=models.PROTECT, related_name="judging")

    objects = JobQuerySet["Judging"].as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"judging of {self.candidate}"


class PhotoLook(models.Model):
    """What tells whether a photo is a copy of another. Computed once, and gone with the bytes."""

    blob = models.OneToOneField(Blob, primary_key=True, on_delete=models.CASCADE, related_name="+")
    problem = models.CharField(max_length=300, blank=True, help_text="Why it cannot be read.")
    shorter_side = models.PositiveIntegerField(default=0, help_text="pixels")
    sharpness = models.FloatField(null=True, help_text="Variance of the Laplacian. Empty: look again.")
    grey = models.BinaryField(null=True, help_text="32 x 32 grey values")
    features = models.BinaryField(null=True, help_text="float16, of the network that looks")
    looked_by = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the artifact behind the features.")

    def __str__(self) -> str:
        return self.problem or self.blob_id[:12]


class PhotoPlace(models.Model):
    """The part of a model's split that a photo belongs to. Given once, with the first snapshot that holds the photo.

    Photos of one `group` show one thing and are in one part. Those of one `picture` are copies of each other; a
    snapshot takes one of them. Stays when the photo is erased: its hash is all it says.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="photo_places")
    blob_sha256 = models.CharField(max_length=64)
    part = models.CharField(max_length=5, choices=Part)
    group = models.PositiveIntegerField()
    picture = models.PositiveIntegerField()
    assigned_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["model", "blob_sha256"], name="photo_place_once_per_model")]

    def __str__(self) -> str:
        return f"{self.blob_sha256[:12]}: {self.part}"


class SnapshotQuerySet(JobQuerySet["DatasetSnapshot"]):
    def ready(self) -> Self:
        return self.filter(status=Job.Status.READY)

    def return_expired(self, at: datetime) -> int:
        number = super().return_expired(at)
        # What a killed worker wrote of a snapshot that nobody freezes any more would hold the photos' bytes for ever.
        SnapshotItem.objects.filter(snapshot__status=Job.Status.FAILED).delete()
        return number

    def ask(self, model: RegisteredModel, **fields: Any) -> "DatasetSnapshot":
        """A pending snapshot with the model's next number."""
        with transaction.atomic():
            RegisteredModel.objects.select_for_update().get(pk=model.pk)
            newest = self.filter(model=model).aggregate(newest=Max("number"))["newest"] or 0
            return self.create(model=model, number=newest + 1, **fields)


class DatasetSnapshot(Job):
    """What a model may learn from and be judged by, frozen: photos, labels and parts. Never changes once it is ready.

    Only an erasure takes photos out; their items stay as tombstones.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="snapshots")
    number = models.PositiveIntegerField()
    options = models.JSONField(default=dict, help_text="Which photos were asked for.")
    content_sha256 = models.CharField(max_length=64, blank=True, verbose_name="content SHA-256", db_index=True)
    previous = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    test_state = models.ForeignKey(TestState, null=True, on_delete=models.PROTECT, related_name="snapshots")
    num_photos = models.PositiveIntegerField(default=0)
    num_of_source = models.JSONField(default=dict, help_text="Photos by source: base, review.")
    counts = models.JSONField(default=dict, help_text="Photos by label key and part.")
    left_out = models.JSONField(default=dict, help_text="Photos by the reason for which they were left out.")
    changes = models.JSONField(default=dict, help_text="Photos added, removed and relabelled since the previous.")
    warnings = models.JSONField(default=list, help_text="What is wrong with it, a sentence each.")

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "dataset snapshot"
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="snapshot_number_once_per_model"),
            # Two at once would give photos of one group two parts.
            models.UniqueConstraint(
                fields=["model"], name="one_freeze_at_a_time_per_model", condition=Q(status="running")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} snapshot {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A snapshot is never edited; freeze a new one.")
        super().save(*args, **kwargs)

    def fail(self, error: str) -> bool:
        """Store why there is none. The photos written so far are let go. False means a later attempt owns it now."""
        with transaction.atomic():
            is_ours = super().fail(error)
            if is_ours:
                self.items.all().delete()
        return is_ours

    def start(self) -> bool:
        """Take the job. False means it is not pending any more, or another snapshot of the model is being frozen."""
        try:
            with transaction.atomic():
                return super().start()
        except IntegrityError:
            return False


def bury(collector: Any, field: Any, items: Any, using: str) -> None:
    """What the erasure of an upload does to snapshot items: tombstones, which only say that something was there."""
    items = list(items.select_for_update(no_key=True).order_by("pk"))  # what judges by them comes before or after
    collector.add_field_update(field, None, items)
    for name, empty in SnapshotItem.TOMBSTONE.items():
        collector.add_field_update(SnapshotItem._meta.get_field(name), empty, items)
    collector.add_field_update(SnapshotItem._meta.get_field("erased_at"), now(), items)
    flipped = Judgement._meta.get_field("flipped")
    for judgement, kept in _without(items):
        collector.add_field_update(flipped, Value(kept, flipped), [judgement])


def _without(items: Collection["SnapshotItem"]) -> Iterator[tuple[Judgement, list[dict[str, Any]]]]:
    """The judgements that name one of these photos, and what they keep: a label and answers go with their photo."""
    erased = {item.pk for item in items}
    states = DatasetSnapshot.objects.filter(pk__in={item.snapshot_id for item in items}).values("test_state")
    about = Judgement.objects.filter(test_state__in=states).only("flipped").order_by("pk")
    for judgement in about.select_for_update(no_key=True):  # another erasure may strike out its photo just now
        kept = [photo for photo in judgement.flipped if photo["item"] not in erased]
        if len(kept) < len(judgement.flipped):
            yield judgement, kept


class SnapshotItemQuerySet(models.QuerySet["SnapshotItem"]):
    def alive(self) -> Self:
        """Those whose photo was not erased."""
        return self.filter(erased_at=None)


class SnapshotItem(AppendOnly):
    """One photo of a snapshot. When its upload is erased it becomes a tombstone, in the same transaction."""

    class Source(models.TextChoices):
        BASE = "base", "base photos"
        REVIEW = "review", "reviewed recognitions"

    TOMBSTONE = {"blob": None, "label": "", "prediction": None, "review": None, "uploader": ""}

    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.CASCADE, related_name="items")
    blob = models.ForeignKey(Blob, null=True, on_delete=models.PROTECT, related_name="+")
    # The upload behind a review. With it go the pixels and all that names somebody.
    image = models.ForeignKey(UploadedImage, null=True, on_delete=bury, related_name="+")
    label = models.CharField(max_length=100, blank=True, help_text="Key of the label.")
    part = models.CharField(max_length=5, choices=Part)
    group = models.PositiveIntegerField(help_text="Photos of one group show one thing.")
    source = models.CharField(max_length=6, choices=Source)
    prediction = models.UUIDField(null=True, help_text="The recognition that was reviewed.")
    review = models.BigIntegerField(null=True, help_text="The review that counted.")
    uploader = models.CharField(max_length=80, blank=True, help_text="user:<id> or visitor:<hash>")
    erased_at = models.DateTimeField(null=True)

    objects = SnapshotItemQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["snapshot", "blob"], name="photo_once_per_snapshot")]
        indexes = [
            models.Index(fields=["snapshot", "part", "label"], name="snapshot_item_by_part"),
            models.Index(fields=["snapshot"], name="snapshot_item_erased", condition=Q(erased_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.part}: {self.label}" if self.erased_at is None else "erased"


import recognizer.training.checkup_models  # noqa: E402  # Django looks for models here
import recognizer.training.run_models  # noqa: E402, F401  # Django looks for models here
