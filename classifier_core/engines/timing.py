"""How fast one artifact runs on this machine: each way in which a worker could run it, timed as it would run it."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from classifier_core.artifact import Artifact
from classifier_core.engines import Batch, Device, Engine, EngineName, EngineSpec, Precision, load_engine
from classifier_core.errors import ClassifierError, MachineBusy
from classifier_core.hardware import ProcessorTime, processor_time
from classifier_core.preprocessing import Preprocessing

# Two timings of the same on a quiet machine differ by half of that: a change must be worth a load.
WORTH = 1.1
MAX_OTHERS = 0.1  # of the machine's processor time; with more of it other programs are what is measured

_ROUNDS = 5
_ROUND_SECONDS = 0.12
_MAX_SECONDS = 1.5  # of rounds; a network so slow that one round takes longer gets one
_ATTEMPTS = 3
_OFFERS: dict[Device, dict[EngineName, tuple[Precision, ...]]] = {
    "cpu": {"openvino": ("float32", "bfloat16"), "torch": ("float32", "bfloat16")},
    "cuda": {"torch": ("float32", "bfloat16", "float16")},
}


@dataclass(frozen=True)
class Configuration:
    """One way to run a network.

    `batch_size` 1: each picture is a call of its own, and as many run side by side as there are callers. More: that
    many pictures go together in one call.
    """

    spec: EngineSpec
    num_threads: int
    batch_size: int

    def __str__(self) -> str:
        return f"{self.spec}, {self.num_threads} threads, {self.batch_size} together"


@dataclass(frozen=True)
class Timing:
    """What a configuration was timed at; `error` says why there are no figures."""

    configuration: Configuration
    images_per_second: float | None = None  # with all callers at work
    image_ms: float | None = None  # one picture alone, from pixels to logits and features
    error: str = ""


def candidates(device: Device, *, num_threads: Iterable[int], batch_sizes: Iterable[int]) -> list[Configuration]:
    """What could run on this device here: engine x precision x threads x batch. On a CPU without bfloat16 not that.

    Threads are those of a CPU; on CUDA the largest number stands for all.
    """
    threads = sorted({*num_threads}) if device == "cpu" else [max(num_threads)]
    return [
        Configuration(EngineSpec(engine, device, precision), count, size)
        for engine, precisions in _OFFERS[device].items()
        for precision in precisions
        if _computes(device, precision)
        for count in threads
        for size in sorted({*batch_sizes})
    ]


def _computes(device: Device, precision: Precision) -> bool:
    if device != "cpu" or precision == "float32":
        return True
    from classifier_core.engines.openvino import has_bfloat16

    return has_bfloat16()


def time_configurations(
    artifact: Artifact, configurations: Sequence[Configuration], *, num_callers: int
) -> Iterator[Timing]:
    """The timing of each, one after the other, with never more than one network in memory.

    One that does not run here is told with its reason. Raises MachineBusy when other programs leave no quiet moment.
    """
    for (spec, num_threads), group in groupby(configurations, lambda one: (one.spec, one.num_threads)):
        same = list(group)
        try:
            engine = load_engine(artifact, spec, num_threads=num_threads)
            yield from _time_engine(engine, same, artifact.preprocessing, num_callers=num_callers)
        except MachineBusy:
            raise
        except (ClassifierError, MemoryError) as error:
            yield from (Timing(one, error=str(error) or "Out of memory.") for one in same)


def _time_engine(
    engine: Engine, configurations: list[Configuration], preprocessing: Preprocessing, *, num_callers: int
) -> list[Timing]:
    """All batch sizes of one engine, or none, so that each is told once."""
    size = preprocessing.crop_size
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, preprocessing.channels), np.uint8)
    alone = undisturbed(lambda: _seconds_alone(engine, picture))

    def timed(one: Configuration) -> Timing:
        rate = undisturbed(lambda: _rate(engine, picture, one.batch_size, num_callers=num_callers, alone=alone))
        return Timing(one, images_per_second=round(rate, 2), image_ms=round(alone * 1000, 3))

    return [timed(one) for one in configurations]


def undisturbed(measure: Callable[[], float], *, now: Callable[[], ProcessorTime] = processor_time) -> float:
    """What `measure` gives while other processes leave the machine to us: it is called until they did.

    Raises MachineBusy when they never do.
    """
    share = 0.0
    for _ in range(_ATTEMPTS):
        before = now()
        figure = measure()
        share = now().others_share_since(before)
        if share <= MAX_OTHERS:
            return figure
    raise MachineBusy(
        f"Other programs took {share:.0%} of the processor while this was timed. Try again when the machine is quiet."
    )


def _seconds_alone(engine: Engine, picture: Batch) -> float:
    engine.run(picture)  # the first one allocates
    return _median(lambda: engine.run(picture), rounds=30)


def _rate(engine: Engine, picture: Batch, size: int, *, num_callers: int, alone: float) -> float:
    """Pictures a second in calls of this size, the median of rounds in which all callers have something to do."""
    callers = num_callers if size == 1 else 1
    batch = np.repeat(picture, size, 0)
    # A round ends when its last call does: with few calls the others would wait for it for much of the round.
    num_calls = callers * max(3, round(_ROUND_SECONDS / max(alone * size, 1e-6)))
    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(engine.run, [batch] * callers))
        return num_calls * size / _median(lambda: list(threads.map(engine.run, [batch] * num_calls)), rounds=_ROUNDS)


def _median(call: Callable[[], object], *, rounds: int) -> float:
    """Seconds of a call, the median of so many, or of those that fit into the time for them; one at least."""
    seconds: list[float] = []
    while len(seconds) < rounds and sum(seconds) < _MAX_SECONDS:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def fastest(
    timings: Iterable[Timing], usual: Configuration, may_serve: Callable[[Configuration], bool]
) -> Configuration:
    """The one with the most pictures a second among those that may serve; of equal ones that with the least latency.

    It must be a tenth faster than `usual`, which stays else, and where it was not timed itself.
    """
    timed = {one.configuration: one for one in timings if one.images_per_second is not None}
    if usual not in timed:
        return usual
    eligible = [one for one in timed.values() if may_serve(one.configuration)]
    best = max(eligible, key=lambda one: (one.images_per_second, -(one.image_ms or 0.0)), default=timed[usual])
    enough = WORTH * (timed[usual].images_per_second or 0.0)
    return best.configuration if (best.images_per_second or 0.0) >= enough else usual
