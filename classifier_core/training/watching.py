"""Who looks on while a run goes, and may stop it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

Figures = dict[str, Any]


def _nobody(*_told: object) -> None:
    pass


@dataclass(frozen=True)
class Watch:
    """What is called while a run goes, in its own thread. Each may raise TrainingStopped.

    The same run then goes on later after its last finished epoch.
    """

    tick: Callable[[str, int, int], None] = _nobody  # often: what is being done, how many of how many are done
    on_epoch: Callable[[Figures], None] = _nobody  # a finished epoch, already kept in the run's folder
    bar: bool = False  # progress bars on the terminal

    @contextmanager
    def count(self, words: str, total: int, *, unit: str, done: int = 0) -> Iterator["Count"]:
        """Something that is done so many times."""
        with tqdm(desc=words, total=total, initial=done, unit=unit, disable=not self.bar, leave=unit == "step") as bar:
            yield Count(self, words, total, done, bar)


UNWATCHED = Watch()


@dataclass
class Count:
    """How far something is."""

    watch: Watch
    words: str
    total: int
    done: int
    bar: "tqdm[Any]"

    def add(self, number: int = 1) -> None:
        """So many more are done."""
        self.done += number
        self.bar.update(number)
        self.watch.tick(self.words, self.done, self.total)
