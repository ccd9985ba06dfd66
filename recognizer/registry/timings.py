"""Time the versions on this machine, and keep what was found."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import cast

from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from classifier_core.artifact import Artifact
from classifier_core.engines import Device
from classifier_core.engines.precision import judge_parity
from classifier_core.engines.timing import Configuration, Timing, candidates
from classifier_core.engines.timing_process import time_separately
from classifier_core.errors import EngineFailed, EngineUnavailable
from recognizer.registry import artifact_store
from recognizer.registry.configurations import (
    chosen_configuration,
    configuration_of,
    is_allowed,
    most_at_once,
    named_spec,
    num_threads,
    timings_here,
    timings_that_count,
)
from recognizer.registry.models import EngineTiming, Hardware, ModelVersion


def measure(
    version: ModelVersion,
    configurations: Sequence[Configuration] | None = None,
    *,
    is_wanted: Callable[[], bool] = lambda: False,
) -> list[EngineTiming]:
    """Time this version in these configurations, or in all that the settings leave open. Takes some seconds of each.

    Each is kept as soon as it was timed, in place of an older timing; what was kept stays when other programs have the
    machine or it `is_wanted` for recognition, for which this raises MachineBusy. EngineFailed when the process ended
    early: the one that it was at is kept with the reason, unless it was timed before. ClassifierError, OSError when the
    artifact cannot be read; EngineUnavailable when there is nothing to time.
    """
    left = list(offered_configurations() if configurations is None else configurations)
    if not left:
        raise EngineUnavailable(f"The settings leave nothing to time: {named_spec()} does not run on this machine.")
    artifact = artifact_store.fetch(version.artifact_sha256)
    try:
        for timing in time_separately(artifact.folder, [*left], num_callers=num_threads(), is_wanted=is_wanted):
            _keep(version, artifact, timing)
            left.remove(timing.configuration)
    except EngineFailed as error:
        if not timings_here(artifact.sha256).filter(**_columns(left[0]), error="").exists():
            _keep(version, artifact, Timing(left[0], error=str(error)))
        raise
    return list(timings_that_count().of_artifact(artifact.sha256))


def offered_configurations() -> list[Configuration]:
    """What could run here as far as the settings leave it open: one thread and all, one image a call and many."""
    threads = {settings.RECOGNIZER_NUM_THREADS or 1, num_threads()}
    device = cast(Device, settings.RECOGNIZER_DEVICE)
    offered = candidates(device, num_threads=threads, batch_sizes={1, most_at_once()})
    return [one for one in offered if is_allowed(one)]


def untimed(version: ModelVersion) -> list[Configuration]:
    """What the settings leave open and was not timed on such hardware."""
    timed = {configuration_of(row) for row in timings_here(version.artifact_sha256)}
    return [one for one in offered_configurations() if one not in timed]


def mark_chosen(artifact: Artifact) -> None:
    """Say in the table what serves: the settings may have changed since it was measured."""
    chosen = chosen_configuration(artifact)
    for row in timings_here(artifact.sha256):
        if row.is_chosen != (configuration_of(row) == chosen):
            timings_here(artifact.sha256).filter(pk=row.pk).update(is_chosen=not row.is_chosen)


@transaction.atomic
def _keep(version: ModelVersion, artifact: Artifact, timing: Timing) -> None:
    """In place of what was stored of this configuration. Other rows are not ours: another worker's settings differ."""
    configuration = _columns(timing.configuration)
    timings_here(artifact.sha256).filter(**configuration).delete()
    EngineTiming.objects.create(
        version=version,
        hardware=Hardware.here(),
        images_per_second=timing.images_per_second,
        image_ms=timing.image_ms,
        error=timing.error,
        parity=judge_parity(artifact, timing.configuration.spec),
        measured_at=now(),
        **configuration,
    )
    mark_chosen(artifact)


def _columns(configuration: Configuration) -> dict[str, str | int]:
    sizes = {"num_threads": configuration.num_threads, "batch_size": configuration.batch_size}
    return {**asdict(configuration.spec), **sizes}
