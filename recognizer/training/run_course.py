"""A run's heavy part in a thread of its own, beside the one that keeps the row: how it goes, and whether to stop."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from django.db import DatabaseError

from classifier_core.errors import TrainingStopped
from recognizer.training.models import LeaseLost
from recognizer.training.run_models import TrainingRun

log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0  # between two looks at the row: a cancelled run stops within about this
NUM_LINES = 50  # of the log, kept in the row
AUTOGROUP = Path("/proc/self/autogroup")

stopping = threading.Event()  # this process shall end; runs go back to the queue


class Course:
    """What the learning thread tells, and the row that the other thread writes it to.

    Only one thread talks to the database: the learning one may be kept from the processor for long, and must not hold
    a lock meanwhile that an upload waits for.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self._curves: list[dict[str, Any]] = list(run.curves)
        self._num_stored = len(self._curves)
        self._lines: deque[str] = deque(run.log_tail.splitlines(), maxlen=NUM_LINES)
        self._progress = ""
        self._eta: int | None = None
        self._beaten_at = time.monotonic()
        self._pace: tuple[float, int] | None = None
        self._is_lost = self._is_cancelled = self._is_over = False

    # Called by the learning thread

    def say(self, words: str) -> None:
        """A sentence for the log. Raises TrainingStopped."""
        self._lines.append(words)
        self._progress, self._eta = words, None
        self.check()

    def tick(self, words: str, done: int, total: int) -> None:
        """How far it is. Raises TrainingStopped."""
        self.check()
        if words != "training":
            self._progress = f"{words.capitalize()}: {done} of {total}"
            return
        at, before = self._pace = self._pace or (time.monotonic(), done - 1)
        self._eta = round((time.monotonic() - at) / max(1, done - before) * (total - done))
        num_steps = max(1, total // max(1, self.run.num_epochs))
        epoch = min(self.run.num_epochs, (done - 1) // num_steps + 1)
        self._progress = f"Epoch {epoch} of {self.run.num_epochs}: step {(done - 1) % num_steps + 1} of {num_steps}"

    def on_epoch(self, figures: dict[str, Any]) -> None:
        """A finished epoch."""
        self._curves = [*self._curves[: figures["epoch"] - 1], _in_short(figures)]
        self._lines.append(_in_words(figures, self.run.num_epochs))

    def check(self) -> None:
        """Raises TrainingStopped when somebody wants the run to stop, or somebody else has it."""
        if self._is_lost or self._is_cancelled or self._is_over or stopping.is_set():
            raise TrainingStopped("Stopped.")

    # Called by the thread that keeps the row

    def beat(self) -> None:
        """Write how it goes, read whether to go on."""
        self._beaten_at = time.monotonic()
        try:
            self._store()
            self._is_cancelled = self._is_cancelled or self.run.is_cancel_requested()
        except DatabaseError as error:  # the lease outlives some of these
            log.warning("cannot write how the training goes, trying again", run=str(self.run), error=str(error))

    def keep_up(self) -> None:
        """The same where that was a while ago, and stop if need be. Raises TrainingStopped."""
        if time.monotonic() - self._beaten_at > BEAT_SECONDS:
            self.beat()
            self.check()

    def store(self) -> None:
        """Write the last of it. Raises LeaseLost."""
        self._store()
        if self._is_lost:
            raise LeaseLost(f"{self.run} is not ours any more.")

    def start_again(self) -> None:
        """What was learned so far does not count."""
        self._curves, self._num_stored = [], -1

    def do(self, work: Callable[[], Any]) -> Any:
        """Run it in the learning thread, keeping the row meanwhile. Raises what it raises."""
        outcome: dict[str, Any] = {}
        thread = threading.Thread(target=_caught, args=(work, outcome), name="learning", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(BEAT_SECONDS)
                self.beat()
        except BaseException:  # Ctrl-C: the thread must not outlive the row's keeper
            self._is_over = True
            thread.join()
            raise
        self.store()
        if error := outcome.get("error"):
            raise error
        return outcome["value"]

    def was_cancelled(self) -> bool:
        return self._is_cancelled

    def _store(self) -> None:
        if self._is_lost:
            return
        curves = self._curves
        is_ours = self.run.report(self._progress, log_tail="\n".join(self._lines), eta_seconds=self._eta)
        if is_ours and len(curves) != self._num_stored:
            is_ours = self.run.record(curves)
            self._num_stored = len(curves)
        self._is_lost = not is_ours


def _caught(work: Callable[[], Any], outcome: dict[str, Any]) -> None:
    try:
        outcome["value"] = work()
    except BaseException as error:  # noqa: BLE001  # raised once more by the thread that waits
        outcome["error"] = error


def yield_to_others() -> None:
    """Give the session the niceness of this process: where Linux shares by session, that of a process counts inside."""
    with suppress(OSError):
        AUTOGROUP.write_text(str(os.nice(0)))


def _in_short(figures: dict[str, Any]) -> dict[str, Any]:
    """What the curves need: a row keeps hundreds of these."""
    parts = {part: {name: round(figures[part][name], 5) for name in ("loss", "accuracy")} for part in ("train", "val")}
    recall = round(figures["val"]["macro_recall"], 5)
    return {"epoch": figures["epoch"], "lr": figures["lr"], "seconds": figures["seconds"], **parts, "recall": recall}


def _in_words(figures: dict[str, Any], num_epochs: int) -> str:
    train, val = figures["train"], figures["val"]
    return (
        f"Epoch {figures['epoch']} of {num_epochs}: loss {train['loss']:.4f}, accuracy {train['accuracy']:.1%}; "
        f"on validation {val['loss']:.4f} and {val['accuracy']:.1%}; {figures['seconds']:.0f} s."
    )
