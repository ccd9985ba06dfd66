"""A child that runs and says nothing any more: nobody's exit tells us, so we ask."""

import signal
import time
from collections.abc import Callable

from recognizer.supervisor.child import Child

ASK_SECONDS = 5.0
# A broker whose disk is slow may be silent for seconds; nothing is lost meanwhile, and nothing by the restart.
MAX_SILENCES = 4


class SilenceWatch:
    """Asks one child now and then whether it is there, and ends it once it has been silent several times in a row."""

    def __init__(self, child: Child, *, speaks: Callable[[], bool]) -> None:
        self._child = child
        self._speaks = speaks
        self._num_silences = 0
        self._asked_at = time.monotonic()

    def check(self) -> bool:
        """Ask, if it is time. True when the child was ended for its silence; its restart is its supervisor's."""
        if not self._child.is_running:
            self._num_silences = 0
        if not self._child.is_running or time.monotonic() - self._asked_at < ASK_SECONDS:
            return False
        self._num_silences = 0 if self._speaks() else self._num_silences + 1
        self._asked_at = time.monotonic()
        if self._num_silences < MAX_SILENCES:
            return False
        self._child.signal_group(signal.SIGKILL)
        self._num_silences = 0
        return True
