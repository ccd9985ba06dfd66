"""Uploads and answers. What people think of them is in opinions.py."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from recognizer.predictions.opinions import Erasure, Feedback, Review
from recognizer.predictions.trial_models import SecondOpinion, Trial, answer_of
from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.statements import NewRow, Update

# Beside what is defined here: Django looks for an app's models here.
__all__ = ["Erasure", "Feedback", "Review", "SecondOpinion", "Trial", "answer_of"]

M = TypeVar("M", bound=models.Model)

FARTHEST_LEASE = timedelta(minutes=1)  # a lease further ahead was given before the clock was set back
TO_REVIEW = Q(verdict=None, score__isnull=False)
OF_USER = Q(user__isnull=False)
MAX_ATTEMPTS = 5  # then a row ends FAILED: what killed five workers would kill the sixth


@dataclass(frozen=True)
class Owner:
    """Who an upload belongs to: a signed-in user or an anonymous visitor, never both."""

    user: User | None = None
    visitor: uuid.UUID | None = None


class OwnedQuerySet(models.QuerySet[M]):
    def owned_by(self, owner: Owner) -> Self:
        """The rows of this owner; none for nobody."""
        if owner.user is not None:
            return self.filter(user=owner.user)
        return self.filter(visitor=owner.visitor) if owner.visitor else self.none()


class Blob(models.Model):
    """Original bytes, stored once under their SHA-256. Private: never served, gone with the last reference."""

    sha256 = models.CharField(primary_key=True, max_length=64)
    num_bytes = models.PositiveIntegerField()
    format = models.CharField(max_length=10)
    width = models.PositiveIntegerField(help_text="pixels, as people see the picture")
    height = models.PositiveIntegerField(help_text="pixels, as people see the picture")
    created_at = models.DateTimeField(default=now, editable=False)
    look_group = models.BigIntegerField(
        null=True, editable=False, help_text="Near-duplicates share this number. Empty: not looked at yet."
    )

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="blob_without_look", condition=Q(look_group=None))]

    def __str__(self) -> str:
        return self.sha256[:12]


class Look(models.Model):
    """A stored picture made tiny, by which near-duplicates of it are found. Goes with its blob."""

    blob = models.OneToOneField(Blob, on_delete=models.CASCADE, related_name="look")
    bits = models.BinaryField(max_length=32, null=True, help_text="Perceptual hash. Empty: it cannot be read.")
    grey = models.BinaryField(max_length=1024, null=True, help_text="32 x 32 grey values.")

    def __str__(self) -> str:
        return f"look at {self.blob_id[:12]}"


class UploadedImage(models.Model):
    """One upload of one owner. Several may share a blob; none sees another's."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="images")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    visitor = models.UUIDField(null=True, blank=True)
    file_name = models.CharField(max_length=255, blank=True)
    train_allowed = models.BooleanField(default=False, help_text="The owner lets reviewed uploads train a model.")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = "uploaded image"
        indexes = [
            models.Index(fields=["created_at"], name="uploaded_newest"),
            models.Index(fields=["user"], name="uploaded_of_user", condition=OF_USER),
        ]

    def __str__(self) -> str:
        return self.file_name or str(self.pk)


class PredictionQuerySet(OwnedQuerySet["Prediction"]):
    def pending(self) -> Self:
        return self.filter(status=Prediction.Status.PENDING)

    def reviewed(self) -> Self:
        """Those with a verdict that counts."""
        return self.filter(verdict__isnull=False)

    def without_verdict(self) -> Self:
        """Those that nobody has judged yet, or whose verdict was taken back."""
        return self.filter(verdict=None)

    def unreviewed(self) -> Self:
        """Answers without a verdict. Only an answer has a score: these are the words of the indexes `to_review`."""
        return self.without_verdict().filter(score__isnull=False)

    def answers_of(self, model: RegisteredModel | None, *, is_keyed: bool = False) -> Self:
        """All answers of a model. `is_keyed`: for a query that brings an order or keys along which it should go."""
        answers = self.in_status(Prediction.Status.SUCCEEDED, is_keyed=is_keyed)
        if not is_keyed or connection.vendor != "sqlite":
            return answers.filter(model=model)
        return answers.alias(hidden_model=Coalesce("model_id", Value(0))).filter(hidden_model=model.pk if model else 0)

    def in_status(self, status: str, *, is_keyed: bool = False) -> Self:
        """Those in this state. `is_keyed`: as for `answers_of`."""
        if not is_keyed or connection.vendor != "sqlite":
            return self.filter(status=status)
        # SQLite believes that an equality leaves ten rows, and would sort half the table: not to be found by an index.
        return self.alias(hidden_status=Coalesce("status", Value(""))).filter(hidden_status=status)

    def with_known(self, known: bool | None) -> Self:
        """Answers that say so, asked in the words of the index: to SQLite a bare "not known" is no equality."""
        asked = Q(known=None) if known is None else Q(known__in=[known])
        return self.filter(asked, score__isnull=False)

    def has_pending(self, *, without: Collection[int] = ()) -> bool:
        """Whether anything waits, beside rows of these models: one look, which needs no lock on SQLite."""
        return self.count_pending(1, without=without) > 0

    def has_unfinished(self) -> bool:
        """Whether anything waits or is being answered."""
        return self.filter(status__in=[Prediction.Status.PENDING, Prediction.Status.RUNNING]).exists()

    def count_pending(self, limit: int, *, without: Collection[int] = ()) -> int:
        """How many wait, or `limit` where there are more. Plain SQL: the ORM takes longer to make it than to run it."""
        others = _other_models(without)
        waiting = f"SELECT 1 FROM {self.model._meta.db_table} WHERE status = 'pending'{others} LIMIT %s"  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM ({waiting}) waiting", [*without, limit])  # noqa: S608
            return int(cursor.fetchone()[0])

    def models_that_wait(self, among: Collection[int]) -> list[int]:
        """Those of these models that have rows waiting. Plain SQL, as in `count_pending`: asked before each claim."""
        marks = ", ".join(["%s"] * len(among))
        pending = f"SELECT DISTINCT model_id FROM {self.model._meta.db_table} WHERE status = 'pending'"  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(f"{pending} AND model_id IN ({marks})", [*among])
            return [model_id for (model_id,) in cursor.fetchall()]

    def claim(
        self, *, limit: int, lease: timedelta, alone: bool = True, without: Collection[int] = ()
    ) -> list["Prediction"]:
        """Take up to `limit` pending rows of one model, oldest first; none of the models that it is to do `without`.

        The attempt is counted here: commit before anything that could kill the process. A row that was tried before
        comes with nobody beside it, so that it cannot take neighbours down again; it stays where it is when the caller
        has others in work, that is, not `alone`.
        """
        # A look takes no lock. Inside a transaction there is none to spare: on SQLite that holds it already.
        if not connection.in_atomic_block and not self.has_pending(without=without):
            return []
        with transaction.atomic(savepoint=False):
            batch = self._next_batch(limit, alone=alone, without=without)
            if batch:
                self._start(batch, lease)
            return batch

    def _start(self, batch: list["Prediction"], lease: timedelta) -> None:
        """Count one more attempt of each, ours. They are locked, pending, and were tried equally often."""
        at, values = now(), {"status": Prediction.Status.RUNNING, "attempts": batch[0].attempts + 1}
        if _store_start.run_all(batch, started_at=at, lease_until=at + lease, **values) != len(batch):
            raise RuntimeError("A locked row was changed. Nothing is claimed.")

    def _next_batch(self, limit: int, *, alone: bool, without: Collection[int]) -> list["Prediction"]:
        with connection.cursor() as cursor:
            cursor.execute(_next_pending(without), [*without, limit])
            rows = [_claimable(*values) for values in cursor.fetchall()]
        if rows and rows[0].attempts > 0:
            return rows[:1] if alone else []
        return [row for row in rows if row.model_id == rows[0].model_id and row.attempts == 0]

    def lock_answered(self, prediction: "Prediction") -> bool:
        """Whether the answer is still there, locked until the transaction ends: an erasure comes before or after."""
        answered = self.filter(pk=prediction.pk, status=Prediction.Status.SUCCEEDED)
        return bool(answered.select_for_update().values_list("pk"))

    def return_expired(self, at: datetime) -> int:
        """Put rows whose worker vanished back in the queue, or end them after their last attempt."""
        is_over = Q(lease_until__lt=at) | Q(lease_until__gt=at + FARTHEST_LEASE)
        expired = self.filter(is_over, status=Prediction.Status.RUNNING)
        expired.filter(attempts__gte=F("attempts_allowed")).update(
            status=Prediction.Status.FAILED,
            finished_at=at,
            lease_until=None,
            error_code="worker_died",
            error_detail="No attempt to recognise this image came to an end. Retry, or send another file.",
        )
        return expired.update(status=Prediction.Status.PENDING, lease_until=None)


class Prediction(models.Model):
    """One answer of one model version for one uploaded image.

    PENDING -> RUNNING -> SUCCEEDED | FAILED
    RUNNING -> PENDING    when the lease ran out before the answer came
    FAILED  -> PENDING    when a person asks for a retry
    any end -> ERASED     a tombstone without image, scores and owner

    The answer is never edited. A person's opinion of it is a Review; `verdict` repeats the one that counts, so that
    the rows of a verdict are one range of one index. Only what writes a Review changes it.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        ERASED = "erased"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    image = models.ForeignKey(UploadedImage, null=True, on_delete=models.PROTECT, related_name="predictions")
    # Repeated from the image, so that a person's history is one range of one index.
    # No index of a column alone where one below begins with it.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="predictions",
        db_index=False,
    )
    visitor = models.UUIDField(null=True, blank=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="predictions", db_index=False)
    top_k = models.PositiveSmallIntegerField(default=5)
    created_at = models.DateTimeField(default=now, editable=False)

    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    attempts_allowed = models.PositiveSmallIntegerField(default=MAX_ATTEMPTS)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    version = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="predictions", db_index=False
    )
    engine = models.CharField(max_length=20, blank=True)
    device = models.CharField(max_length=20, blank=True)
    precision = models.CharField(max_length=20, blank=True)
    label = models.CharField(max_length=100, blank=True, help_text="Key of the best label.")
    score = models.FloatField(null=True)
    known = models.BooleanField(null=True, help_text="False: none of the model's classes. Empty: not calibrated.")
    scores = models.JSONField(default=list, help_text="[label key, score] pairs, best first.")
    decode_ms = models.FloatField(null=True)
    inference_ms = models.FloatField(null=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.TextField(blank=True)

    # NULL and not "", so that the index leaves out the many without one, and SQLite need not copy the table to add it.
    verdict = models.CharField(
        max_length=10, null=True, editable=False, help_text="Of the review that counts. Empty: there is none."
    )

    objects = PredictionQuerySet.as_manager()
    blob_id: str | None  # only on claimed rows: of the image

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = "recognition"
        # Oldest first, also where pages show the newest first: a new row then goes to an index's end, where SQLite
        # changes one page. At the start it divides pages almost each time. An index leaves out what has no value.
        indexes = [
            models.Index(fields=["created_at", "id"], name="prediction_newest"),
            # The score lets a filter by both pass rows over without reading them.
            models.Index(fields=["label", "created_at", "score"], name="prediction_by_label"),
            models.Index(
                fields=["verdict", "created_at", "id"],
                name="prediction_by_verdict",
                condition=Q(verdict__isnull=False),
            ),
            # What nobody has judged: as people review, these grow small, and no page reads past the many that are done.
            models.Index(fields=["created_at", "id"], name="to_review_newest", condition=TO_REVIEW),
            # With what its condition names, so that SQLite counts along it and does not prefer other indexes for that.
            models.Index(
                fields=["model", "created_at", "id", "score", "verdict"],
                name="to_review_by_model",
                condition=TO_REVIEW,
            ),
            # The desk's order: by label, and the newest of each first.
            models.Index(fields=["model", "label", "-created_at"], name="to_review_by_label", condition=TO_REVIEW),
            models.Index(fields=["model", "created_at"], name="prediction_by_model"),
            models.Index(fields=["model", "status", "created_at", "id"], name="prediction_answers"),
            models.Index(
                fields=["version", "created_at"], name="prediction_by_version", condition=Q(version__isnull=False)
            ),
            models.Index(fields=["score"], name="prediction_by_score"),
            models.Index(
                fields=["known", "created_at", "id"], name="prediction_by_known", condition=Q(score__isnull=False)
            ),
            # Also the queue: SQLite does not use a partial index for it.
            models.Index(fields=["status", "created_at", "id"], name="prediction_by_status"),
            models.Index(fields=["lease_until"], name="prediction_leased", condition=Q(status="running")),
            # Last: of two that are equally good SQLite takes the one that was created last, and these say most.
            models.Index(fields=["user", "created_at", "id"], name="prediction_of_user", condition=OF_USER),
            models.Index(
                fields=["visitor", "created_at", "id"], name="prediction_of_visitor", condition=Q(visitor__isnull=False)
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="prediction_success_has_answer",
                condition=~Q(status="succeeded") | (Q(version__isnull=False, score__isnull=False) & ~Q(label="")),
            ),
            models.CheckConstraint(
                name="prediction_failure_has_reason", condition=~Q(status="failed") | ~Q(error_detail="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label or self.status} ({str(self.pk)[:8]})"

    @property
    def is_finished(self) -> bool:
        return self.status not in (self.Status.PENDING, self.Status.RUNNING)

    @property
    def is_hopeless(self) -> bool:
        """Failed, and another try of the same bytes would fail as well."""
        return self.status == self.Status.FAILED and self.error_code == "undecodable"

    @property
    def queue_ms(self) -> float | None:
        """From the upload to the start of the last attempt, in milliseconds."""
        return _milliseconds(self.created_at, self.started_at)

    @property
    def total_ms(self) -> float | None:
        """From the upload to the answer, in milliseconds."""
        return _milliseconds(self.created_at, self.finished_at)

    def succeed(self, *, scores: Sequence[tuple[str, float]], version: ModelVersion, **answer: Any) -> bool:
        """Store the answer. False means a later attempt owns the row now."""
        label, score = scores[0]
        answer |= {"scores": [list(pair) for pair in scores], "label": label, "score": score, "version_id": version.pk}
        return self._finish(status=self.Status.SUCCEEDED, error_code="", error_detail="", **answer)

    def fail(self, code: str, detail: str) -> bool:
        """Store why there is no answer. False means a later attempt owns the row now."""
        return self._finish(status=self.Status.FAILED, error_code=code, error_detail=detail)

    def _finish(self, **fields: Any) -> bool:
        # Fenced by the attempt we claimed: a worker that lost its lease changes nothing.
        return _store_outcome.run(self, finished_at=now(), lease_until=None, **fields)

    def retry(self) -> bool:
        """Queue a failed row once more. False when it is not failed (any more).

        Attempts go on counting, since they are the fence; the row is allowed MAX_ATTEMPTS further ones.
        """
        failed = Prediction.objects.filter(pk=self.pk, status=self.Status.FAILED)
        return (
            failed.update(
                status=self.Status.PENDING,
                attempts_allowed=F("attempts") + MAX_ATTEMPTS,
                finished_at=None,
                error_code="",
                error_detail="",
            )
            == 1
        )


OUTCOME = (
    *("status", "finished_at", "version", "engine", "device", "precision", "label", "score", "known", "scores"),
    *("decode_ms", "inference_ms", "error_code", "error_detail"),
)
new_prediction = NewRow(Prediction)
_store_start = Update(
    Prediction,
    fields=["status", "attempts", "started_at", "lease_until"],
    unchanged=["attempts"],
    required={"status": Prediction.Status.PENDING},
)
_store_outcome = Update(
    Prediction,
    fields=[*OUTCOME, "lease_until"],
    unchanged=["attempts"],
    required={"status": Prediction.Status.RUNNING},
)


def _other_models(without: Collection[int], column: str = "model_id") -> str:
    """SQL for rows of none of these models; it takes their numbers."""
    return f" AND {column} NOT IN ({', '.join(['%s'] * len(without))})" if without else ""


def _next_pending(without: Collection[int]) -> str:
    """SQL for the oldest pending rows, with the blob of each. The ORM takes 2 ms to make it anew.

    PostgreSQL: rows locked by another worker are passed over. SQLite: the IMMEDIATE transaction is the lock.
    """
    lock = " FOR UPDATE OF prediction SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    others = _other_models(without, "prediction.model_id")
    return f"""
        SELECT prediction.id, prediction.model_id, prediction.attempts, prediction.top_k, image.blob_id
        FROM predictions_prediction prediction
        LEFT JOIN predictions_uploadedimage image ON image.id = prediction.image_id
        WHERE prediction.status = 'pending'{others} ORDER BY prediction.created_at, prediction.id LIMIT %s{lock}
    """  # noqa: S608 - no value in it


def _claimable(pk: str | uuid.UUID, model_id: int, attempts: int, top_k: int, blob_id: str | None) -> Prediction:
    """What answering needs of a row. It has no answer, so its other fields are those of a new one."""
    pk = pk if isinstance(pk, uuid.UUID) else uuid.UUID(pk)  # SQLite keeps it as text
    row = new_prediction(id=pk, model_id=model_id, attempts=attempts, top_k=top_k)
    row._state.adding, row.blob_id = False, blob_id
    return row


def _milliseconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds() * 1000, 1) if start and end else None


class IdempotencyKey(models.Model):
    """A client's promise that two requests are one. Kept for a day."""

    scope = models.CharField(max_length=60, help_text="The user or visitor the key belongs to.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request's image and options.")
    prediction = models.ForeignKey(Prediction, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_once_per_scope")]

    def __str__(self) -> str:
        return self.key
