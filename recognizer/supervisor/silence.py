"""A child that runs and says nothing any more: nobody's exit tells us, so we ask."""

import signal
import time
from collections.abc import Callable

from recognizer.supervisor.child import Child

ASK_SECONDS = 5.0
# A broker whose disk is slow may be silent for seconds. No row is lost meanwhile, nor by the restart.
MAX_SILENCES = 4


class SilenceWatch:
    """Asks one child now and then whether it is there, and ends it once it has been silent several times in a row."""

    def __init__(self, child: Child, *, speaks: Callable[[], bool]) -> None:
        self._child = child
        self._speaks = speaks
        self._started_at = self._asked_at = 0.0  # of the process that is watched; monotonic seconds
        self._num_silences = 0
        self._is_over = False

    def check(self) -> bool:
        """Ask, if it is time. True when the child was ended for its silence; its restart is its supervisor's."""
        if self._started_at != self._child.started_at:
            self._begin(self._child.started_at)
        if not self._child.is_running or self._is_over or time.monotonic() - self._asked_at < ASK_SECONDS:
            return False
        self._num_silences = 0 if self._speaks() else self._num_silences + 1
        self._asked_at = time.monotonic()
        self._is_over = self._num_silences >= MAX_SILENCES
        if self._is_over:
            self._child.signal_group(signal.SIGKILL)
        return self._is_over

    def _begin(self, started_at: float) -> None:
        """Nothing that an earlier process left unsaid counts against this one."""
        self._started_at, self._asked_at = started_at, time.monotonic()
        self._num_silences, self._is_over = 0, False
