"""Sees how each prediction ends while the storm goes on: a result that is another one later was stored twice."""

import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from tests.storm.beside import beside
from tests.system import rows

LOOK_SECONDS = 1.0
End = tuple[object, ...]


class Witness:
    """The first end of each prediction that it saw."""

    def __init__(self, data_dir: Path) -> None:
        self.ends: dict[str, End] = {}
        self._data_dir = data_dir

    def look(self) -> None:
        """Note the ends that are new."""
        for key, row in rows.predictions(self._data_dir).items():
            if row.has_ended:
                self.ends.setdefault(key, end_of(row))

    def watching(self) -> AbstractContextManager[None]:
        """Look every second; a database that is down is looked at later."""
        return beside(self._watch)

    def _watch(self, is_over: threading.Event) -> None:
        while not is_over.wait(LOOK_SECONDS):
            with suppress(*rows.NOT_NOW):
                self.look()


def end_of(row: rows.Row) -> End:
    """What one end differs in from another."""
    return (row.status, row.attempts, row.finished_at, row.label, row.score, row.error_code)
