"""Beat that goes on when the clock is set back. Celery's own sends nothing until the old time has come again."""

import time
from typing import Any

from celery.beat import PersistentScheduler


class SteadyScheduler(PersistentScheduler):
    """Entries that ran "in the future" count as run now: each comes again after its period."""

    _ticked_at = 0.0  # time.time()

    def setup_schedule(self) -> None:
        """Read the file of the last start, which may have been under another clock."""
        super().setup_schedule()
        self._forget_the_future()

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due; gives the seconds until the next look."""
        at = time.time()
        if at < self._ticked_at:
            self._forget_the_future()
            self._heap = None  # the order of the entries, by the old time; it is made anew
        self._ticked_at = at
        return float(super().tick(*arguments, **options))

    def _forget_the_future(self) -> None:
        at = self.app.now()
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at or at, at)
