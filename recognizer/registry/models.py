"""Registered models, their labels and versions, and the ledger of what may serve."""

import hashlib
from datetime import timedelta
from typing import Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils.timezone import now
from django.utils.translation import get_language

from recognizer.registry.timing_models import EngineTiming, Hardware

# Beside what is defined here: Django looks for an app's models here.
__all__ = ["EngineTiming", "Hardware"]

REPORT_LIFETIME = timedelta(seconds=15)  # a worker reports every 3 seconds
KEY = RegexValidator(r"^[\w.\-]+$", "Use letters, digits, dots, dashes and underscores only.")


class HistoryError(TypeError):
    """An append-only row was about to be changed."""


class AppendOnly(models.Model):
    """A row that is written once."""

    class Meta:
        abstract = True

    def save(self, *args: object, **kwargs: object) -> None:
        if not self._state.adding:
            raise HistoryError(f"{type(self).__name__} rows are never edited; write a new one.")
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def delete(self, *args: object, **kwargs: object) -> tuple[int, dict[str, int]]:
        raise HistoryError(f"{type(self).__name__} rows are never deleted one by one.")


class RegisteredModel(models.Model):
    """A named line of versions, such as `fruit`. Its newest Promotion says what serves."""

    name = models.CharField(max_length=60, unique=True, validators=[KEY])
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "registered model"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def named(cls, name: str) -> "RegisteredModel":
        """The model of this name. Raises DoesNotExist, in words that say which there are."""
        if model := cls.objects.filter(name=name).first():
            return model
        names = ", ".join(cls.objects.values_list("name", flat=True)) or "none; import one"
        raise cls.DoesNotExist(f"There is no model named {name!r}. There are: {names} (manage.py models list).")

    def desired_version(self) -> "ModelVersion | None":
        """The version that should answer: that of the newest promotion."""
        newest = self.promotions.select_related("version").order_by("-pk").first()
        return newest.version if newest else None


class LabelQuerySet(models.QuerySet["Label"]):
    def in_use(self) -> Self:
        """Those that something can be reviewed into: neither merged nor retired."""
        return self.filter(merged_into=None, retired_at=None)

    def keys_named(self, words: str) -> models.QuerySet["Label", str]:
        """The keys of labels whose key or display name contains the words, in any language."""
        named = models.Q(key__icontains=words) | models.Q(names__en__icontains=words)
        return self.filter(named | models.Q(names__zh__icontains=words)).order_by().values_list("key", flat=True)

    def state_sha256(self) -> str:
        """Another one as soon as a label is merged or retired, or that is undone; new labels leave it as it is."""
        gone = self.filter(models.Q(retired_at__isnull=False) | models.Q(merged_into__isnull=False)).order_by("key")
        rows = gone.values_list("key", "merged_into__key", "retired_at")
        lines = [
            f"{key}\t{target or ''}\t{'' if retired_at is None else 'retired'}\n" for key, target, retired_at in rows
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class Label(models.Model):
    """A name in a registered model's taxonomy. The key never changes; the display names may."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="labels")
    key = models.CharField(max_length=100, validators=[KEY])
    names = models.JSONField(default=dict, help_text='Display names by language, such as {"en": "Banana"}.')
    merged_into = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="merged")
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = LabelQuerySet.as_manager()

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["model", "key"], name="label_key_once_per_model")]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The display name in the active language, else in English, else the key."""
        language = (get_language() or "en").split("-")[0]
        return self.names.get(language) or self.names.get("en") or self.key

    @property
    def in_both_languages(self) -> str:
        """The English and the Chinese name with the key, as a choice among labels."""
        names = [self.names.get(language) for language in ("en", "zh")]
        return f"{' · '.join(filter(None, names)) or self.key} ({self.key})"


class ModelVersion(AppendOnly):
    """One artifact as a numbered version of a registered model.

    The artifact explains itself; this row repeats what lists and filters need. `skipped_checks` says in words what an
    import left out of the judgement that a trained candidate gets.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    artifact_sha256 = models.CharField(max_length=64, verbose_name="artifact SHA-256")
    architecture = models.CharField(max_length=100)
    num_classes = models.PositiveIntegerField()
    manifest = models.JSONField(help_text="The artifact's own description, artifact.json.")
    parity = models.JSONField(default=dict, help_text="How far each derived engine file is from the reference.")
    source = models.CharField(max_length=200, blank=True)
    skipped_checks = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["model", "-number"]
        verbose_name = "model version"
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="version_number_once_per_model"),
            models.UniqueConstraint(fields=["model", "artifact_sha256"], name="artifact_once_per_model"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} v{self.number}"

    @property
    def num_erased(self) -> int:
        """How many photos it learned from were erased since."""
        return self.learned_photos.exclude(erased_at=None).count()

    @property
    def is_removed(self) -> bool:
        """Whether its artifact was removed, so that it cannot serve any more."""
        return RemovedArtifact.objects.filter(version=self).exists()


class LearnedPhoto(models.Model):
    """The hash of a photo that a version learned from, so that erasing the photo marks the version.

    Registry's own: what erases and what trains both know the registry, and it knows neither.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="learned_photos")
    blob_sha256 = models.CharField(max_length=64)
    erased_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["blob_sha256", "version"], name="learned_once_per_version")]
        indexes = [
            models.Index(fields=["version"], name="learned_and_erased", condition=models.Q(erased_at__isnull=False))
        ]

    def __str__(self) -> str:
        return self.blob_sha256[:12]

    @classmethod
    def mark_erased(cls, blob_sha256: str) -> None:
        """The photo was erased: versions that learned from it say so."""
        cls.objects.filter(blob_sha256=blob_sha256, erased_at=None).update(erased_at=now())


class RemovedArtifact(AppendOnly):
    """The files of this version were removed to make room; the row, its figures and its history stay."""

    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="removed_artifact")
    reason = models.CharField(max_length=200)
    removed_at = models.DateTimeField(default=now, editable=False)

    def __str__(self) -> str:
        return f"{self.version}: {self.reason}"


class Evaluation(AppendOnly):
    """Figures of one version on one set of photos, named by its content hash.

    Those whose `source` is CLAIMED are the artifact's own word: they are shown, and never decide about a promotion.
    """

    CLAIMED = "written in the artifact"

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evaluations")
    dataset = models.CharField(max_length=200)
    dataset_sha256 = models.CharField(max_length=64, blank=True)
    num_images = models.PositiveIntegerField()
    accuracy = models.FloatField()
    macro_recall = models.FloatField(null=True)
    metrics = models.JSONField(default=dict)
    engine = models.CharField(max_length=20, blank=True)
    precision = models.CharField(max_length=20, blank=True)
    source = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.version} on {self.dataset}: {self.accuracy:.3f}"


class TestState(AppendOnly):
    """One numbered content of a model's test part, which only grows, but for what was erased or rejected.

    Figures can be compared when they are of one state.
    """

    __test__ = False  # no test case for pytest

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="test_states")
    number = models.PositiveIntegerField()
    content_sha256 = models.CharField(max_length=64, verbose_name="content SHA-256")
    num_photos = models.PositiveIntegerField()
    changes = models.JSONField(default=dict, help_text="How many photos were added, rejected, erased, relabelled.")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="test_state_number_once_per_model")]

    def __str__(self) -> str:
        return f"{self.model.name} test part, state {self.number}"


class JudgementQuerySet(models.QuerySet["Judgement"]):
    def of(self, candidate: ModelVersion, serving: ModelVersion) -> Self:
        """Those of this pair, the newest first."""
        return self.filter(candidate=candidate, serving=serving)


class Judgement(AppendOnly):
    """Whether one version may take the place of another, measured on the same test photos under the same labels.

    What counts is written here when it is measured: the figures, the limits, and what each rule says of them. It says
    nothing any more once the test part or the labels are others.
    """

    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="judgements")
    serving = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="judgements_against")
    test_state = models.ForeignKey(TestState, on_delete=models.PROTECT, related_name="judgements")
    labels_sha256 = models.CharField(max_length=64, help_text="Which labels were merged or retired then.")
    passed = models.BooleanField()
    rules = models.JSONField(help_text="What each rule says: rule, outcome, words, labels.")
    limits = models.JSONField(help_text="The settings that the rules went by.")
    figures = models.JSONField(help_text="What was measured of both.")
    flipped = models.JSONField(default=list, help_text="Photos that only one of them has right.")  # an erased one goes
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    objects = JudgementQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["candidate", "serving", "-id"], name="judgement_newest")]

    def __str__(self) -> str:
        return f"{self.candidate} against {self.serving}"

    @property
    def words(self) -> str:
        """Why it is refused, else what it is no worse in. Keys of labels are marked, as in the rules."""
        refusals = [rule["words"] for rule in self.rules if rule["outcome"] == "refused"]
        return " ".join(refusals or [self.rules[0]["words"]])


class PromotionQuerySet(models.QuerySet["Promotion"]):
    def desired(self) -> Self:
        """The newest promotion of each registered model."""
        newest = self.filter(model=models.OuterRef("model")).order_by("-pk").values("pk")[:1]
        return self.filter(pk=models.Subquery(newest))


class Promotion(AppendOnly):
    """From now on this version serves. A rollback is one more row.

    `gate` says what the gate found, or what was skipped of it and why. Keys of labels are marked in it.
    """

    class Kind(models.TextChoices):
        FIRST = "first"
        PROMOTION = "promotion"
        FORCED = "forced"
        ROLLBACK = "rollback"

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="promotions")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    kind = models.CharField(max_length=10, choices=Kind)
    gate = models.TextField()
    judgement = models.ForeignKey(Judgement, null=True, on_delete=models.PROTECT, related_name="promotions")
    reason = models.TextField(blank=True)
    promoted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    objects = PromotionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [("force_promotion", "Can promote past the gate")]

    def __str__(self) -> str:
        return f"{self.version} ({self.kind})"


class LoadedVersionQuerySet(models.QuerySet["LoadedVersion"]):
    def live(self) -> Self:
        """Reports of workers that are alive."""
        return self.filter(seen_at__gt=now() - REPORT_LIFETIME)

    def num_workers(self) -> int:
        """How many workers these reports come from."""
        return self.values("worker").distinct().count()


class LoadedVersion(models.Model):
    """What one worker holds in memory or, if nobody asked for long, holds ready, as it reports every few seconds."""

    worker = models.CharField(max_length=120)
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="loaded_versions")
    version = models.ForeignKey(ModelVersion, null=True, on_delete=models.CASCADE, related_name="loaded_by")
    engine = models.CharField(max_length=20, blank=True)
    device = models.CharField(max_length=20, blank=True)
    precision = models.CharField(max_length=20, blank=True)
    error = models.TextField(blank=True, help_text="Why the desired version is not the loaded one.")
    loaded_at = models.DateTimeField(default=now)
    unloaded_at = models.DateTimeField(
        null=True, help_text="Since when it rests: nobody asked, and the next request loads it again."
    )
    seen_at = models.DateTimeField(default=now, db_index=True)

    objects = LoadedVersionQuerySet.as_manager()

    class Meta:
        ordering = ["model", "worker"]
        verbose_name = "loaded version"
        constraints = [
            models.UniqueConstraint(fields=["worker", "model"], name="one_loaded_version_per_worker_and_model")
        ]

    def __str__(self) -> str:
        return f"{self.worker}: {self.version or self.error}"

    @property
    def is_live(self) -> bool:
        """Whether the worker still reports."""
        return self.seen_at > now() - REPORT_LIFETIME
