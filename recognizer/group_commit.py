"""Writes of several threads in one transaction: one lock on the database and one sync to disk for a group of them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import DataError, IntegrityError

T = TypeVar("T")
OF_ONE = (IntegrityError, DataError, ValueError)  # errors that one write brings over its group


@dataclass
class _Write(Generic[T]):
    rows: T
    is_done: bool = False
    error: BaseException | None = None


class GroupCommit(Generic[T]):
    """Whoever comes first stores what all others brought while it waited for its turn.

    `store` commits a sequence of them, all or none, in one of the threads. When a group fails because of what one of
    them brought, each is tried alone, so that nobody gets another one's error. A failure of the
    database or the disk is everybody's at once: nobody waits for the others to find it out too.
    """

    def __init__(self, store: Callable[[Sequence[T]], None], *, most: int) -> None:
        """`most`: that `store` is given at once."""
        self._store, self._most = store, most
        self._waiting: list[_Write[T]] = []
        self._list = threading.Lock()
        self._turn = threading.Lock()

    def run(self, rows: T) -> None:
        """Return when the rows are committed. Raises what storing them raised; then none of them is there."""
        mine = _Write(rows)
        with self._list:
            self._waiting.append(mine)
        with self._turn:
            while not mine.is_done:
                self._commit_oldest()
        try:
            if mine.error:
                raise mine.error
        finally:
            mine.error = None  # it and this frame name each other: the photo would stay until a full garbage collection

    def _commit_oldest(self) -> None:
        with self._list:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        self._commit(group)
        # No name for the error: a frame that it names would name it.
        if group[0].error and not isinstance(group[0].error, OF_ONE):
            self._end_all_like(group[0])
        elif group[0].error and len(group) > 1:
            for write in group:
                self._commit([write])

    def _end_all_like(self, failed: _Write[T]) -> None:
        with self._list:
            writes, self._waiting = self._waiting, []
        for write in writes:
            write.is_done, write.error = True, failed.error

    def _commit(self, group: list[_Write[T]]) -> None:
        for write in group:
            write.is_done, write.error = True, None
        try:
            self._store([write.rows for write in group])
        except BaseException as error:  # noqa: BLE001 - each caller gets it, in its own thread
            for write in group:
                write.error = error
