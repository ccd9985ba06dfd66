"""Versions on trial: they give second opinions on recognitions that are answered already, and answer nobody."""

import uuid
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from recognizer.registry.models import AppendOnly, ModelVersion, RegisteredModel

if TYPE_CHECKING:
    from recognizer.predictions.models import Prediction

FIRST_ID = uuid.UUID(int=0)


class TrialQuerySet(models.QuerySet["Trial"]):
    def running(self) -> Self:
        """Those without an end, shadows first: what they follow is bounded by the uploads, a replay is not."""
        return self.filter(ended_at=None).order_by("-kind", "pk")


class Trial(models.Model):
    """A version answers what another has answered: a share of what is uploaded from now on, or past recognitions.

    It goes from the oldest to the newest and asks nothing twice. The position moves on before a picture is read: one
    that kills the worker is passed over, where trying it again would take live answers down with it.
    """

    class Kind(models.TextChoices):
        SHADOW = "shadow"
        REPLAY = "replay"

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="trials")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="trials")
    kind = models.CharField(max_length=6, choices=Kind)
    share = models.FloatField(
        default=1.0, validators=[MaxValueValidator(1.0)], help_text="Of all recognitions, 0-1: always the same ones."
    )
    only_reviewed = models.BooleanField(default=False)
    label = models.CharField(max_length=100, blank=True, help_text="Only recognitions with this answer, a label's key.")
    since = models.DateTimeField(help_text="The upload of the first recognition.")
    until = models.DateTimeField(null=True, help_text="The upload of the last one. Empty: until somebody stops it.")
    num_wanted = models.PositiveIntegerField(null=True, help_text="How many a replay was to answer.")
    num_passed = models.PositiveIntegerField(default=0)
    position_at = models.DateTimeField(help_text="Upload time of the last recognition that it was asked about.")
    position_id = models.UUIDField(default=FIRST_ID)
    created_at = models.DateTimeField(default=now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    ending = models.TextField(blank=True, help_text="Why it ended, unless all was done.")

    objects = TrialQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["model"], name="one_shadow_per_model", condition=Q(kind="shadow", ended_at__isnull=True)
            ),
            models.CheckConstraint(name="trial_share_is_a_share", condition=Q(share__gt=0, share__lte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.version}"

    @property
    def is_shadow(self) -> bool:
        return self.kind == self.Kind.SHADOW

    @property
    def is_running(self) -> bool:
        return self.ended_at is None

    def move(self, at: Any, to: uuid.UUID = FIRST_ID, *, passed: int = 0) -> bool:
        """Go to this position. False means it has ended, or another worker has moved it: leave it alone."""
        ours = Trial.objects.filter(
            pk=self.pk, ended_at=None, position_at=self.position_at, position_id=self.position_id
        )
        if ours.update(position_at=at, position_id=to, num_passed=F("num_passed") + passed) != 1:
            return False
        self.position_at, self.position_id = at, to
        return True

    def end(self, ending: str = "", *, by: Any = None) -> bool:
        """No further opinions. False means it had ended before."""
        running = Trial.objects.filter(pk=self.pk, ended_at=None)
        return running.update(ended_at=now(), ending=ending, ended_by=by) == 1


class SecondOpinion(AppendOnly):
    """What a version on trial says about a recognition that another version has answered.

    The live answer stands beside it, so that nothing is joined to count; neither ever changes.
    """

    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="opinions")
    prediction = models.ForeignKey(
        "predictions.Prediction", on_delete=models.CASCADE, related_name="second_opinions", db_index=False
    )
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+", db_index=False)
    label = models.CharField(max_length=100, blank=True, help_text="Key of the best label.")
    score = models.FloatField(null=True)
    known = models.BooleanField(null=True, help_text="False: none of the model's classes. Empty: not calibrated.")
    scores = models.JSONField(default=list, help_text="[label key, score] pairs, best first.")
    engine = models.CharField(max_length=20, blank=True)
    device = models.CharField(max_length=20, blank=True)
    precision = models.CharField(max_length=20, blank=True)
    decode_ms = models.FloatField(null=True)
    inference_ms = models.FloatField(null=True)
    error = models.TextField(blank=True, help_text="Why it has no answer.")
    answer = models.CharField(max_length=100, blank=True, help_text="Key of a label. Empty: none of its classes.")
    live_answer = models.CharField(max_length=100, blank=True, help_text="That of the recognition, likewise.")
    agrees = models.BooleanField(null=True, help_text="Whether both answers are the same. Empty: it has none.")
    day = models.DateField(help_text="Of the upload, where the server is.")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["-pk"]
        verbose_name = "second opinion"
        constraints = [
            models.UniqueConstraint(fields=["prediction", "version"], name="one_opinion_per_prediction_and_version")
        ]
        indexes = [
            models.Index(fields=["version", "agrees", "day"], name="second_opinion_by_day"),
            models.Index(fields=["version", "live_answer", "agrees"], name="second_opinion_by_class"),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.answer or self.error or 'none of its classes'}"


def answer_of(one: "Prediction | SecondOpinion") -> str:
    """What was answered: the key of a label, empty for "none of my classes"."""
    return "" if one.known is False else one.label
