"""How fast one artifact runs on this machine: each way in which a worker could run it, timed as it would run it."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from classifier_core.artifact import Artifact
from classifier_core.engines import OFFERS, Device, Engine, EngineSpec, Precision, load_engine
from classifier_core.errors import ClassifierError, MachineBusy
from classifier_core.hardware import ProcessorTime, processor_time
from classifier_core.preprocessing import Preprocessing

# Two timings of the same on a quiet machine differ by half of that: a change must be worth a load.
WORTH = 1.1
MAX_OTHERS = 0.1  # of the machine's processor time; with more of it other programs are what is measured

_ROUNDS = 5
_ROUND_SECONDS = 0.12
_MIN_SECONDS = 0.3  # of rounds: /proc/stat counts in hundredths, which others are told from us by
_MAX_SECONDS = 1.5  # a network that takes longer for one round gets one
_ATTEMPTS = 3


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
        for (engine, place), precisions in OFFERS.items()
        if place == device
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
    artifact: Artifact, configurations: Sequence[Configuration], *, num_callers: int, max_others: float = MAX_OTHERS
) -> Iterator[Timing]:
    """The timing of each, one after the other, with never more than one network in memory.

    One that does not run here is told with its reason. Raises MachineBusy when other programs leave no moment in which
    they take less than `max_others` of the processor.
    """
    for (spec, num_threads), group in groupby(configurations, lambda one: (one.spec, one.num_threads)):
        left = list(group)
        try:
            for timing in _load_bench(artifact, spec, num_threads, num_callers, max_others).time_all([*left]):
                left.remove(timing.configuration)
                yield timing
        except MachineBusy:
            raise
        except (ClassifierError, MemoryError) as error:
            yield from (Timing(one, error=str(error) or "Out of memory.") for one in left)


def _load_bench(
    artifact: Artifact, spec: EngineSpec, num_threads: int, num_callers: int, max_others: float
) -> "_Bench":
    engine = load_engine(artifact, spec, num_threads=num_threads)
    return _Bench(engine, artifact.preprocessing, num_callers, max_others)


class _Bench:
    """One engine, and the callers that want something of it."""

    def __init__(self, engine: Engine, preprocessing: Preprocessing, num_callers: int, max_others: float) -> None:
        size, channels = preprocessing.crop_size, preprocessing.channels
        self._picture = np.random.default_rng(0).integers(0, 256, (1, size, size, channels), np.uint8)
        self._engine, self._num_callers, self._max_others = engine, num_callers, max_others

    def time_all(self, configurations: list[Configuration]) -> Iterator[Timing]:
        """All batch sizes of this engine, each as soon as it was timed."""
        alone = undisturbed(self._seconds_alone, self._max_others)
        for one in configurations:
            yield self._time(one, alone)

    def _time(self, one: Configuration, alone: float) -> Timing:
        rate = undisturbed(lambda: self._rate(one.batch_size, alone), self._max_others)
        return Timing(one, images_per_second=round(rate, 2), image_ms=round(alone * 1000, 3))

    def _seconds_alone(self) -> float:
        self._engine.run(self._picture)  # the first one allocates
        return _median(lambda: self._engine.run(self._picture), rounds=30)

    def _rate(self, size: int, alone: float) -> float:
        """Pictures a second in calls of this size, the median of rounds in which all callers have something to do."""
        callers = self._num_callers if size == 1 else 1
        batch = np.repeat(self._picture, size, 0)
        with ThreadPoolExecutor(callers) as threads:
            start = time.perf_counter()
            list(threads.map(self._engine.run, [batch] * callers))
            num_calls = callers * turns(alone * size, together_seconds=time.perf_counter() - start)
            seconds = _median(lambda: list(threads.map(self._engine.run, [batch] * num_calls)), rounds=_ROUNDS)
        return num_calls * size / seconds


def turns(alone_seconds: float, *, together_seconds: float) -> int:
    """How many calls each caller makes in a round, by what one takes alone and what one of each takes together.

    A round ends when its last call does: with fewer than three the others would wait for it for much of the round. A
    slow network with many callers makes fewer all the same, or it would be timed for minutes.
    """
    wanted = max(3, round(_ROUND_SECONDS / max(alone_seconds, 1e-6)))
    return max(1, min(wanted, int(_MAX_SECONDS / max(together_seconds, 1e-6))))


def undisturbed(
    measure: Callable[[], float], max_others: float = MAX_OTHERS, *, now: Callable[[], ProcessorTime] = processor_time
) -> float:
    """What `measure` gives while other processes take at most that share of the machine: it is called until they do.

    Raises MachineBusy when they never do.
    """
    share = 0.0
    for _ in range(_ATTEMPTS):
        before = now()
        figure = measure()
        share = now().others_share_since(before)
        if share <= max_others:
            return figure
    raise MachineBusy(
        f"Other programs took {share:.0%} of the processor while this was timed. Try again when the machine is quiet."
    )


def _median(call: Callable[[], object], *, rounds: int) -> float:
    """Seconds of a call, the median of so many: more where they are over too soon, fewer where they take too long."""
    seconds: list[float] = []
    while sum(seconds) < _MIN_SECONDS or (len(seconds) < rounds and sum(seconds) < _MAX_SECONDS):
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
