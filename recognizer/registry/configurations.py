"""How a worker of this machine runs an artifact: what the settings name, and of what they leave open the fastest."""

import os
from datetime import datetime
from functools import cache
from typing import cast

from django.conf import settings
from django.db import DatabaseError

from classifier_core.artifact import Artifact
from classifier_core.engines import Device, EngineName, EngineSpec, Precision, usual_engine
from classifier_core.engines.precision import answers_alike, choose_spec
from classifier_core.engines.timing import Configuration, Timing, fastest
from classifier_core.hardware import describe_hardware
from recognizer.database import lacks_tables
from recognizer.registry.models import EngineTiming
from recognizer.registry.timing_models import EngineTimingQuerySet


def chosen_spec(artifact: Artifact) -> EngineSpec:
    """The spec of what would serve; where no service ever started, and so nothing was timed, the usual one."""
    try:
        return chosen_configuration(artifact).spec
    except DatabaseError as error:
        if not lacks_tables(error):
            raise
        return usual_spec(artifact)


def chosen_configuration(artifact: Artifact) -> Configuration:
    """What was timed fastest on such hardware, of what answers like the reference; without timings, the usual one."""
    rows = list(timings_here(artifact.sha256))
    specs = {configuration_of(row).spec for row in rows}
    # Judged now, not when it was timed: photos may have said otherwise since.
    equal = {spec for spec in specs if answers_alike(artifact, spec)}
    timings = [Timing(configuration_of(row), row.images_per_second, row.image_ms) for row in rows]
    return fastest(timings, usual_configuration(artifact), lambda one: one.spec in equal and is_allowed(one))


def configuration_of(row: EngineTiming) -> Configuration:
    """What was timed, as core knows it."""
    engine, device = cast(EngineName, row.engine), cast(Device, row.device)
    return Configuration(EngineSpec(engine, device, cast(Precision, row.precision)), row.num_threads, row.batch_size)


def is_allowed(configuration: Configuration) -> bool:
    """Whether the settings leave it open: what an operator names is never overruled by a timing."""
    spec = configuration.spec
    return (
        settings.RECOGNIZER_ENGINE in ("auto", spec.engine)
        and spec.device == settings.RECOGNIZER_DEVICE
        and settings.RECOGNIZER_PRECISION in ("auto", spec.precision)
        and settings.RECOGNIZER_NUM_THREADS in (0, configuration.num_threads)
        and configuration.batch_size in (1, most_at_once())
    )


def usual_configuration(artifact: Artifact) -> Configuration:
    """What runs where nothing was timed. On a CPU each image is a call of its own: cores then never wait for others."""
    size = 1 if settings.RECOGNIZER_DEVICE == "cpu" else most_at_once()
    return Configuration(usual_spec(artifact), num_threads(), size)


def timings_here(artifact_sha256: str) -> EngineTimingQuerySet:
    """What was timed of this artifact on such hardware."""
    return EngineTiming.objects.on(fingerprint()).of_artifact(artifact_sha256)


def timings_that_count() -> EngineTimingQuerySet:
    """What was timed on such hardware of what the settings leave open: the rows of which each `is_allowed`."""
    named = {
        "engine": settings.RECOGNIZER_ENGINE,
        "precision": settings.RECOGNIZER_PRECISION,
        "num_threads": settings.RECOGNIZER_NUM_THREADS,
    }
    fixed = {field: value for field, value in named.items() if value not in ("auto", 0)}
    rows = EngineTiming.objects.on(fingerprint()).filter(device=settings.RECOGNIZER_DEVICE, **fixed)
    return rows.filter(batch_size__in=(1, most_at_once()))


def timed_at(artifact: Artifact) -> datetime | None:
    """When what the settings leave open was timed last on such hardware."""
    return timings_that_count().of_artifact(artifact.sha256).newest_by_artifact().get(artifact.sha256)


@cache
def fingerprint() -> str:
    """Of this machine, as this process may use it."""
    return describe_hardware().fingerprint


def named_spec() -> EngineSpec:
    """What the settings ask for, whatever the artifact: what they leave open is what every machine has."""
    device = cast(Device, settings.RECOGNIZER_DEVICE)
    engine, precision = settings.RECOGNIZER_ENGINE, settings.RECOGNIZER_PRECISION
    return EngineSpec(
        usual_engine(device) if engine == "auto" else cast(EngineName, engine),
        device,
        "float32" if precision == "auto" else cast(Precision, precision),
    )


def usual_spec(artifact: Artifact) -> EngineSpec:
    """What the settings name; where they say auto, the fastest kind that was measured to answer like float32."""
    named = named_spec()
    measured = choose_spec(artifact, named.device)
    # What was measured on one engine says nothing about another.
    return measured if settings.RECOGNIZER_PRECISION == "auto" and measured.engine == named.engine else named


def num_threads() -> int:
    """Threads of one inference: the setting, else every core this process may use."""
    return settings.RECOGNIZER_NUM_THREADS or len(os.sched_getaffinity(0))


def most_at_once() -> int:
    """Images in one batch. On a CPU twice as many as run side by side."""
    return _at_most(2)


def most_in_work() -> int:
    """Images claimed and not answered yet. On a CPU more than run, or cores wait while the next ones are claimed.

    Three for each thread: slow ones one after the other must end within the time limit of the worker's task.
    """
    return _at_most(3)


def _at_most(per_thread: int) -> int:
    at_once: int = settings.RECOGNIZER_BATCH_SIZE
    return min(at_once, per_thread * num_threads()) if settings.RECOGNIZER_DEVICE == "cpu" else at_once
