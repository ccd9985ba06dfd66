"""Time the versions on this machine, and keep what was found."""

from collections.abc import Callable, Sequence
from typing import cast

from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from classifier_core.artifact import Artifact
from classifier_core.engines import Device
from classifier_core.engines.precision import judge_parity
from classifier_core.engines.timing import Configuration, Timing, candidates
from classifier_core.engines.timing_process import time_separately
from recognizer.registry import artifact_store
from recognizer.registry.configurations import (
    chosen_configuration,
    configuration_of,
    is_allowed,
    most_at_once,
    num_threads,
    timings_here,
)
from recognizer.registry.models import EngineTiming, Hardware, ModelVersion


def measure(version: ModelVersion, *, is_wanted: Callable[[], bool] = lambda: False) -> list[EngineTiming]:
    """Time this version in every configuration that the settings leave open, and keep that in place of older timings.

    Takes some seconds, in a process of its own. Stores nothing and raises MachineBusy when other programs had the
    machine or it `is_wanted` for recognition; ClassifierError, OSError when the artifact cannot be read or timed.
    """
    artifact = artifact_store.fetch(version.artifact_sha256)
    timings = time_separately(artifact.folder, offered_configurations(), num_callers=num_threads(), is_wanted=is_wanted)
    return _keep(version, artifact, timings)


def offered_configurations() -> list[Configuration]:
    """What could run here as far as the settings leave it open: one thread and all, one image a call and many."""
    threads = {settings.RECOGNIZER_NUM_THREADS or 1, num_threads()}
    device = cast(Device, settings.RECOGNIZER_DEVICE)
    offered = candidates(device, num_threads=threads, batch_sizes={1, most_at_once()})
    return [one for one in offered if is_allowed(one)]


def is_timed(version: ModelVersion) -> bool:
    """Whether all that the settings leave open was timed on such hardware."""
    rows = timings_here(version.artifact_sha256)
    return {*offered_configurations()} <= {configuration_of(row) for row in rows}


def mark_chosen(artifact: Artifact) -> None:
    """Say in the table what serves: the settings may have changed since it was measured."""
    chosen = chosen_configuration(artifact)
    for row in timings_here(artifact.sha256):
        if row.is_chosen != (configuration_of(row) == chosen):
            timings_here(artifact.sha256).filter(pk=row.pk).update(is_chosen=not row.is_chosen)


@transaction.atomic
def _keep(version: ModelVersion, artifact: Artifact, timings: Sequence[Timing]) -> list[EngineTiming]:
    machine, at = Hardware.here(), now()
    parity = {spec: judge_parity(artifact, spec) for spec in {one.configuration.spec for one in timings}}
    timings_here(artifact.sha256).delete()
    EngineTiming.objects.bulk_create(
        EngineTiming(
            version=version,
            hardware=machine,
            engine=one.configuration.spec.engine,
            device=one.configuration.spec.device,
            precision=one.configuration.spec.precision,
            num_threads=one.configuration.num_threads,
            batch_size=one.configuration.batch_size,
            images_per_second=one.images_per_second,
            image_ms=one.image_ms,
            error=one.error,
            parity=parity[one.configuration.spec],
            measured_at=at,
        )
        for one in timings
    )
    mark_chosen(artifact)
    return list(timings_here(artifact.sha256))
