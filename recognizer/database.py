"""What an error of the database means, and when what it was told is on disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, OperationalError, connection


def lacks_tables(error: DatabaseError) -> bool:
    """Whether nothing was ever migrated there, as SQLite and as PostgreSQL say it."""
    return "no such table" in str(error) or ("relation " in str(error) and " does not exist" in str(error))


@contextmanager
def synced_last() -> Iterator[None]:
    """Around a transaction: on SQLite, sync what it committed when the lock is free again. Others write meanwhile.

    At the end it is as durable as under synchronous=FULL, which syncs with the lock held: the log's file is synced
    after the commit wrote to it, and whoever moves that to the database before then syncs it first
    (https://sqlite.org/pragma.html#pragma_synchronous). Raises OperationalError when the disk does not take it: the
    rows are then there, but may not survive a power cut.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    database = connection.connection
    database.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        if connection.connection is database:  # Django closes one that did not roll back
            database.execute("PRAGMA synchronous=FULL")
    _sync_log()


def _sync_log() -> None:
    try:
        log = os.open(f"{connection.settings_dict['NAME']}-wal", os.O_RDONLY)
    except FileNotFoundError:  # a database in memory
        return
    try:
        os.fdatasync(log)
    except OSError as error:
        raise OperationalError(str(error)) from error
    finally:
        os.close(log)
