"""Check-ups of a model's photos: what was found, and what people decided about it."""

from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from recognizer.predictions.models import Blob
from recognizer.registry.models import AppendOnly, RegisteredModel
from recognizer.training.models import Job, JobQuerySet, Part


class CheckUp(Job):
    """A look at the photos that a model would learn from now: what is wrong with them, and whether they are enough."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="checkups")
    num_photos = models.PositiveIntegerField(default=0)
    num_passed_over = models.PositiveIntegerField(default=0, help_text="Photos over the number that is looked at.")
    labels_checked = models.TextField(blank=True, help_text="How labels were checked, or why not.")
    held_out_accuracy = models.FloatField(null=True, help_text="Of what checks labels, 0-1.")
    curve = models.JSONField(default=dict, help_text="The learning curve; empty where there are too few photos.")
    curve_problem = models.TextField(blank=True, help_text="Why there is no learning curve.")
    review_next = models.JSONField(default=list, help_text="Recognitions to review next, the most useful first.")
    seconds = models.FloatField(null=True, help_text="How long it took.")

    objects = JobQuerySet["CheckUp"].as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "check-up"

    def __str__(self) -> str:
        return f"{self.model.name} check-up {self.pk}"


@dataclass(frozen=True)
class Decided:
    """What a decision was about: for the same photos with the same labels it need not be asked for again."""

    kind: str
    photos: frozenset[str | None]
    labels: frozenset[str]

    @classmethod
    def of(cls, kind: str, blob: str, other: str | None, label: str, other_label: str, likely: str) -> "Decided":
        # Of two copies either may come first, and either may be the likelier.
        hint = likely if kind == Finding.Kind.LABEL else ""
        return cls(kind, frozenset({blob, other}), frozenset({label, other_label, hint}))


class FindingQuerySet(models.QuerySet["Finding"]):
    def open(self) -> Self:
        """Those that nobody has decided about."""
        return self.filter(resolution="")

    def decided(self) -> Self:
        return self.exclude(resolution="")


class Finding(models.Model):
    """One photo that a check-up asks a person about. Goes with the bytes of its photo.

    open -> FIXED | DISMISSED, and back
    """

    class Kind(models.TextChoices):
        LABEL = "label", "wrong labels"
        CONFLICT = "conflict", "two labels"
        LEAK = "leak", "leaks"
        COPY = "copy", "copies"
        BLURRED = "blurred"
        TINY = "tiny"
        UNREADABLE = "unreadable"

    class Resolution(models.TextChoices):
        FIXED = "fixed"
        DISMISSED = "dismissed", "it is right"

    checkup = models.ForeignKey(CheckUp, on_delete=models.CASCADE, related_name="findings")
    kind = models.CharField(max_length=10, choices=Kind)
    rank = models.PositiveIntegerField(help_text="The surest, or worst, is 1.")
    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="+")
    other = models.ForeignKey(Blob, null=True, on_delete=models.CASCADE, related_name="+", help_text="The other copy.")
    label = models.CharField(max_length=100, help_text="Key of the label that it has.")
    other_label = models.CharField(max_length=100, blank=True, help_text="Key of the other copy's label.")
    likely = models.CharField(max_length=100, blank=True, help_text="Key of the label that it should have.")
    label_score = models.FloatField(null=True, help_text="0-1, of photos that are not its copies")
    likely_score = models.FloatField(null=True, help_text="0-1")
    value = models.FloatField(null=True, help_text="Pixels of a tiny photo, sharpness of a blurred one.")
    part = models.CharField(max_length=5, blank=True, choices=Part)
    other_part = models.CharField(max_length=5, blank=True, choices=Part)
    problem = models.CharField(max_length=300, blank=True, help_text="Why it cannot be read.")
    is_upload = models.BooleanField(help_text="One of the photos was uploaded by somebody.")
    resolution = models.CharField(max_length=10, blank=True, choices=Resolution)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering = ["rank", "pk"]
        indexes = [
            models.Index(fields=["checkup", "resolution", "kind", "rank"], name="finding_in_order"),
            models.Index(fields=["checkup", "-resolved_at"], name="finding_decided", condition=~Q(resolution="")),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.blob_id[:12]}"

    def is_settled_by(self, decided: set[Decided]) -> bool:
        """Whether somebody said of the same photos, with the same labels, that it is right."""
        about = (self.blob_id, self.other_id, self.label, self.other_label, self.likely)
        return Decided.of(self.kind, *about) in decided

    def resolve(self, resolution: str, *, by: Any) -> bool:
        """Close it. False means that somebody has decided already."""
        return self._change("", resolution=resolution, resolved_at=now(), resolved_by=by)

    def reopen(self) -> bool:
        """Ask again. False means that it is open already."""
        return self._change(self.resolution, resolution="", resolved_at=None, resolved_by=None)

    def _change(self, before: str, **fields: Any) -> bool:
        if Finding.objects.filter(pk=self.pk, resolution=before).update(**fields) != 1:
            return False
        for name, value in fields.items():
            setattr(self, name, value)
        return True


class PhotoDecisionQuerySet(models.QuerySet["PhotoDecision"]):
    def taken_out(self, model: RegisteredModel) -> set[str]:
        """The SHA-256 of the photos that a model shall not learn from: the newest word on each counts."""
        words = self.filter(model=model).exclude(what=PhotoDecision.What.RELABELLED).order_by("pk")
        newest = dict(words.values_list("blob_sha256", "what").iterator())
        return {sha256 for sha256, what in newest.items() if what == PhotoDecision.What.TAKEN_OUT}


class PhotoDecision(AppendOnly):
    """What somebody decided about a photo of a model, after it came in. The newest word counts; all are kept.

    A reviewed recognition that gets another label has a Review for it instead. Stays when the photo is erased: its hash
    is all it says.
    """

    class What(models.TextChoices):
        RELABELLED = "relabelled"
        TAKEN_OUT = "taken_out", "taken out"
        PUT_BACK = "put_back", "put back"

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="photo_decisions")
    blob_sha256 = models.CharField(max_length=64)
    what = models.CharField(max_length=10, choices=What)
    previous_label = models.CharField(max_length=100, blank=True)
    label = models.CharField(max_length=100, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=now, editable=False)

    objects = PhotoDecisionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "decision about a photo"
        verbose_name_plural = "decisions about photos"
        indexes = [models.Index(fields=["model", "blob_sha256"], name="photo_decision_of_photo")]

    def __str__(self) -> str:
        return f"{self.get_what_display()} {self.label}".strip()
