"""Ways to hurt a running service, each of which waits until it has really hurt."""

import os
import resource
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from celery import Celery

from recognizer.supervisor.paths import broker_dir, broker_socket
from tests.service import RunningService, is_alive, wait_until
from tests.system import rows

BACK_SECONDS = 60.0  # until a victim is there to be hit


def wait_busy(data_dir: Path, *, seconds: float = 3) -> bool:
    """Wait for the moment in which a worker begins with a batch. False when none came.

    Rows that run already may belong to a worker that is dead.
    """
    before, deadline = _running(data_dir), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _running(data_dir) - before:
            return True
        time.sleep(0.002)
    return False


def _running(data_dir: Path) -> set[str]:
    return {row for (row,) in rows.query(data_dir, "SELECT id FROM predictions_prediction WHERE status = 'running'")}


def kill(service: RunningService, pid: int) -> None:
    """kill -9. Of a worker: its pool child goes with it."""
    os.kill(pid, signal.SIGKILL)


def pool_child(service: RunningService) -> int:
    """The process that runs the model: the youngest one under the worker with a runtime loaded."""
    found: list[int] = []

    def look() -> list[int]:
        found[:] = _children(service.pids().get("worker", 0))  # asked anew: the worker itself may have to come back
        return found

    wait_until(look, seconds=BACK_SECONDS, what="A pool child")
    return max(found)


def _children(pid: int) -> list[int]:
    """The processes that billiard has spawned for work; its resource tracker is none of them."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in found if is_alive(int(child)) and "spawn_main" in _command(int(child))]


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def kill_and_empty(service: RunningService, broker: int) -> None:
    """kill -9 the broker and take all that it has stored."""
    # Stopped first, and its files gone before it dies: the supervisor restarts it at once.
    os.kill(broker, signal.SIGSTOP)
    # One that has just started has no files yet. It must not stay stopped for that.
    shutil.rmtree(broker_dir(service.data_dir) / "appendonlydir", ignore_errors=True)
    os.kill(broker, signal.SIGKILL)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that hangs for a while: it holds its sockets and does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # the supervisor ends a broker that is silent for long
            os.kill(pid, signal.SIGCONT)


@contextmanager
def little_memory(pid: int, *, spare_bytes: int) -> Iterator[None]:
    """A process that may have no more than so many bytes beside what it has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + spare_bytes, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))


def repeat_messages(data_dir: Path, *, names: Iterable[str], times: int) -> None:
    """Send each of these tasks so often, as a broker does that delivers twice."""
    app = Celery(broker=f"redis+socket://{broker_socket(data_dir)}")
    with app.connection_for_write(transport_options={"socket_timeout": 5}) as connection:
        for name in names:
            for _ in range(times):
                app.send_task(name, queue="predict", connection=connection, retry=False)
