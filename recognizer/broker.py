"""Our own connections to the broker, for doorbell flags and answer wake-ups. Nothing here is the truth."""

import os
import threading
from functools import cache
from typing import Any

import redis
from django.conf import settings

TIMEOUT_SECONDS = 1.0  # a hung broker delays an upload by this much, once


def ask(*command: str | bytes | float) -> Any:
    """The broker's answer to one command, over the connection of this thread.

    The client's own method for each command takes twice as long: it borrows a connection, gives it back, and looks for
    plug-ins. Raises RedisError.
    """
    connection = _connection()
    try:
        return _asked(connection, *command)
    except redis.ConnectionError:  # as after a restart of the broker: tried once more, over a new one
        return _asked(connection, *command)


def _asked(connection: Any, *command: str | bytes | float) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def forget() -> None:
    """Connect anew next time: a process does not share the connection of its parent."""
    _own.kept = None
    _pool.cache_clear()


def _connection() -> Any:
    pool = _pool()
    if _own.kept is None or _own.kept[0] is not pool:
        _own.kept = pool, pool.make_connection()
    return _own.kept[1]


@cache
def _pool() -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(
        settings.RECOGNIZER_BROKER_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )


class _Own(threading.local):
    kept: Any = None  # the pool and the connection that it made


_own = _Own()
os.register_at_fork(after_in_child=forget)
