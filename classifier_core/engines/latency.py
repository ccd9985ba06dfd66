"""How long one picture takes, alone, as a user waits for it."""

import statistics
import time
from typing import Protocol

from classifier_core.engines import Batch, EngineOutput
from classifier_core.preprocessing import Pixels

ROUNDS = 30
_WARM_UP = 3  # the first ones allocate


class Runs(Protocol):
    """An engine, or what runs like one."""

    def run(self, pixels: Batch) -> EngineOutput:
        """The answer for uint8 pixels [N, height, width, channels]."""
        ...


def measure_latency(engine: Runs, pixels: Pixels, *, rounds: int = ROUNDS) -> float:
    """Milliseconds from prepared pixels to logits and features, the median."""
    batch, seconds = pixels[None], []
    for number in range(_WARM_UP + rounds):
        start = time.perf_counter()
        engine.run(batch)
        if number >= _WARM_UP:
            seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds) * 1000, 2)
