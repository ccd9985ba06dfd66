"""How fast a version runs on the machines that serve it. Measured here, so it is no part of the artifact."""

from dataclasses import asdict
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Max
from django.utils.timezone import now

from classifier_core import hardware


class Hardware(models.Model):
    """A kind of machine: its CPU, cores, GPU, and the versions of the runtimes on it."""

    fingerprint = models.CharField(max_length=64, unique=True)
    description = models.JSONField(help_text="cpu, num_cores, vectors, gpu, runtimes")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "hardware"

    def __str__(self) -> str:
        return str(hardware.Hardware(**self.description))

    @classmethod
    def here(cls) -> "Hardware":
        """This machine."""
        found = hardware.describe_hardware()
        return cls.objects.get_or_create(fingerprint=found.fingerprint, defaults={"description": asdict(found)})[0]


class EngineTimingQuerySet(models.QuerySet["EngineTiming"]):
    def on(self, fingerprint: str) -> Self:
        """Those measured on such hardware: others say nothing about it."""
        return self.filter(hardware__fingerprint=fingerprint)

    def of_artifact(self, sha256: str) -> Self:
        """Those of this artifact, under whatever model and number it was measured."""
        return self.filter(version__artifact_sha256=sha256)

    def newest_by_artifact(self) -> dict[str, datetime]:
        """When each artifact was timed last, by its SHA-256."""
        rows = self.order_by().values_list("version__artifact_sha256").annotate(Max("measured_at"))
        return dict(rows)


class EngineTiming(models.Model):
    """One configuration of one version on one kind of machine: how fast, and whether it may be chosen.

    A new timing takes the place of the old one. `is_chosen` says what a worker on such hardware runs, as the worker
    itself decided; what ran an answer is written with that answer.
    """

    class Parity(models.TextChoices):
        REFERENCE = "reference", "the reference"
        PASSED = "passed", "passed"
        FAILED = "failed", "failed"
        UNMEASURED = "unmeasured", "not measured"

    version = models.ForeignKey("registry.ModelVersion", on_delete=models.CASCADE, related_name="timings")
    hardware = models.ForeignKey(Hardware, on_delete=models.CASCADE, related_name="timings")
    engine = models.CharField(max_length=20)
    device = models.CharField(max_length=20)
    precision = models.CharField(max_length=20)
    num_threads = models.PositiveIntegerField()
    batch_size = models.PositiveIntegerField()
    images_per_second = models.FloatField(null=True)
    image_ms = models.FloatField(null=True)
    error = models.TextField(blank=True, help_text="Why it was not timed.")
    parity = models.CharField(max_length=10, choices=Parity)
    is_chosen = models.BooleanField(default=False)
    measured_at = models.DateTimeField(default=now)

    objects = EngineTimingQuerySet.as_manager()

    class Meta:
        ordering = ["-hardware_id", "engine", "device", "precision", "num_threads", "batch_size"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "hardware", "engine", "device", "precision", "num_threads", "batch_size"],
                name="configuration_timed_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.runs_as}, {self.num_threads} threads, {self.batch_size} together"

    @property
    def runs_as(self) -> str:
        """Engine, device and precision, as people read them."""
        return f"{self.engine} on {self.device} in {self.precision}"

    @property
    def is_as_good(self) -> bool:
        """Whether it was measured to answer like the reference."""
        return self.parity in (self.Parity.REFERENCE, self.Parity.PASSED)
