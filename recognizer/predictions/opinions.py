"""What people think of answers: claims of users, verdicts of reviewers. And that a prediction was erased."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from recognizer.registry.models import AppendOnly, Label


class FeedbackQuerySet(models.QuerySet["Feedback"]):
    def with_approval(self) -> Self:
        """Each claim with `is_approved`: whether a reviewer has made it count."""
        taken_back = Review.objects.filter(
            prediction=models.OuterRef("prediction"), verdict=Review.Verdict.WITHDRAWN, pk__gt=models.OuterRef("pk")
        )
        approvals = Review.objects.filter(
            ~models.Exists(taken_back),
            prediction=models.OuterRef("prediction"),
            via=Review.Via.CLAIM,
            created_at__gte=models.OuterRef("created_at"),
        )
        corrected = Q(models.Exists(approvals.filter(verdict="corrected", label=models.OuterRef("label"))))
        agreed = Q(models.Exists(approvals.exclude(verdict="corrected")))
        approved = Q(is_correct=True) & agreed | Q(is_correct=False) & corrected
        return self.annotate(is_approved=models.ExpressionWrapper(approved, models.BooleanField()))

    def unsettled(self) -> Self:
        """Claims that no verdict has followed, whether it agreed or not."""
        later = Review.objects.newest().filter(
            prediction=models.OuterRef("prediction"), created_at__gte=models.OuterRef("created_at")
        )
        return self.filter(~models.Exists(later))


class Feedback(AppendOnly):
    """A user's claim about an answer. It trains nothing until a reviewer approves it."""

    prediction = models.ForeignKey("predictions.Prediction", on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    visitor = models.UUIDField(null=True, blank=True)
    is_correct = models.BooleanField()
    claimed_label = models.CharField(max_length=100, blank=True, help_text="What the user says it is, in their words.")
    label = models.ForeignKey(
        Label,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The label meant, if known.",
    )
    created_at = models.DateTimeField(default=now, editable=False)

    objects = FeedbackQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return "correct" if self.is_correct else f"wrong: {self.claimed_label}"


class ReviewQuerySet(models.QuerySet["Review"]):
    def newest(self) -> Self:
        """The review that counts, of each prediction; none where the newest takes the verdict back."""
        return self.last_of_each().exclude(verdict=Review.Verdict.WITHDRAWN)

    def last_of_each(self) -> Self:
        """The newest review of each prediction, also one that takes the verdict back."""
        # "None is later" and not "it is the latest": PostgreSQL takes the latter for rare, and 1 s instead of 60 ms.
        later = Review.objects.filter(prediction=models.OuterRef("prediction"), pk__gt=models.OuterRef("pk"))
        return self.filter(~models.Exists(later))

    def not_repeated(self) -> Self:
        """The newest ones that their answers do not repeat."""
        repeated = Coalesce("prediction__verdict", Value(Review.Verdict.WITHDRAWN))
        return self.last_of_each().filter(prediction__status="succeeded").exclude(verdict=repeated)


class Review(AppendOnly):
    """A reviewer's verdict on an answer. Append-only: the newest one counts, and only reviews train."""

    class Verdict(models.TextChoices):
        CONFIRMED = "confirmed"
        CORRECTED = "corrected"
        REJECTED = "rejected", "rejected: none of my classes"
        WITHDRAWN = "withdrawn", "withdrawn: not reviewed after all"

        @classmethod
        def that_count(cls) -> list[tuple[str, str]]:
            """The choices that are an opinion: after WITHDRAWN there is none."""
            return [(value, str(name)) for value, name in cls.choices if value != cls.WITHDRAWN]

    class Via(models.TextChoices):
        ADMIN = "admin"
        DESK = "desk", "review desk"
        BULK = "bulk", "many at once"
        CLAIM = "claim", "approved claim"

    prediction = models.ForeignKey("predictions.Prediction", on_delete=models.PROTECT, related_name="reviews")
    verdict = models.CharField(max_length=10, choices=Verdict)
    label = models.ForeignKey(Label, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    previous_label = models.CharField(max_length=100, blank=True)
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    via = models.CharField(max_length=10, choices=Via, default=Via.ADMIN)
    created_at = models.DateTimeField(default=now, editable=False)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["prediction", "-id"], name="review_newest"),
            models.Index(fields=["verdict", "prediction"], name="review_by_verdict"),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} {self.label or ''}".strip()

    @property
    def counted_verdict(self) -> str | None:
        """The verdict as long as this review is the newest; None where it takes the one before back."""
        return None if self.verdict == self.Verdict.WITHDRAWN else self.verdict


class Erasure(AppendOnly):
    """That a prediction was erased, by whom and when. A restored backup replays these rows."""

    prediction_id = models.UUIDField(unique=True)
    blob_sha256 = models.CharField(max_length=64, blank=True)
    erased_by = models.CharField(max_length=160, help_text="user:<id>, visitor or access token")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return str(self.prediction_id)
