"""Sees how each prediction ends while the storm goes on: a result that is another one later was stored twice."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look every second; a database that is down is looked at later."""
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(LOOK_SECONDS):
                with suppress(*rows.NOT_NOW):
                    self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def end_of(row: rows.Row) -> End:
    """What one end differs in from another."""
    return (row.status, row.attempts, row.finished_at, row.label, row.score, row.error_code)
