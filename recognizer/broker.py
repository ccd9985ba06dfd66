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
    was_open = connection.is_connected
    try:
        return _asked(connection, *command)
    except redis.ConnectionError:
        if not was_open:
            raise
        return _asked(connection, *command)  # closed meanwhile, as by a restart of the broker: over a new one


def _asked(connection: Any, *command: str | bytes | float) -> Any:
    try:
        connection.send_command(*command)
        return connection.read_response()
    except redis.ResponseError:
        raise
    except BaseException:  # an answer that nobody has read would be taken for that of the next command
        connection.disconnect()
        raise


def forget() -> None:
    """Connect anew next time: a process does not share the connection of its parent."""
    _own.kept = None
    _pool.cache_clear()


def _connection() -> Any:
    pool = _pool()
    if _own.kept is None or _own.kept[0] is not pool:
        # Not pool.make_connection(): that counts, and a pool makes a hundred.
        _own.kept = pool, pool.connection_class(**pool.connection_kwargs)
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
