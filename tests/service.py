"""The real service, as `make serve` starts it, in a folder of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recognizer.supervisor.orphans import wrapped
from recognizer.supervisor.paths import run_dir

PROJECT_DIR = Path(__file__).resolve().parents[1]
ADMIN, PASSWORD = "admin", "correct horse battery staple"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(is_done: Callable[[], object], *, seconds: float, what: str) -> None:
    """Wait for a condition, or fail with a sentence."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment(data_dir: Path, port: int | str, **extra: str) -> dict[str, str]:
    chosen = {"RECOGNIZER_DATA_DIR": str(data_dir), "PORT": str(port), "PYTHONDONTWRITEBYTECODE": ""}
    chosen["RECOGNIZER_TIME_ENGINES"] = "no"  # beside tests it would take cores from them and find no quiet moment
    admin = {"DJANGO_SUPERUSER_USERNAME": ADMIN, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    return {**os.environ, **chosen, **admin, **extra}


class RunningService:
    """A supervisor with its children. The process that runs the tests owns it: they end together."""

    def __init__(self, data_dir: Path, *, port: int | None = None, **extra: str) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = data_dir / "supervisor.out"
        self._said_before = len(self.output.read_text()) if self.output.exists() else 0
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                wrapped([sys.executable, "-m", "recognizer.supervisor"], stop_signal=signal.SIGTERM),
                cwd=PROJECT_DIR,
                env=environment(data_dir, self.port, **extra),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def answers(self, path: str = "/healthz") -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, seconds: float = 90) -> None:
        """Wait until every child runs and a model answers. Fails at once, with its output, when it gives up."""
        try:
            wait_until(self._is_ready_or_gone, seconds=seconds, what="A ready service")
            assert self.process.poll() is None, "the service has stopped"
        except AssertionError as error:
            raise AssertionError(f"{error}. It said:\n{self.output.read_text()}") from None

    def _is_ready_or_gone(self) -> bool:
        return self.process.poll() is not None or ("is ready after" in self._said_now() and self.answers("/readyz"))

    def said(self) -> str:
        """All that the services of this data folder have said."""
        return self.output.read_text()

    def _said_now(self) -> str:
        return self.said()[self._said_before :]

    def pids(self) -> dict[str, int]:
        """The running children by name: broker, worker, trainer, beat, web."""
        rows = json.loads((run_dir(self.data_dir) / "children.json").read_text())
        return {row["name"]: row["pid"] for row in rows if is_alive(row["pid"])}

    def family(self) -> set[int]:
        """Every process of the service: the children and all that they started."""
        leaders = {*self.pids().values(), self.process.pid}
        return {pid for pid in _all_pids() if _session(pid) in leaders}

    def kill(self, name: str) -> int:
        """End one child as a crash would, with SIGKILL; gives the pid that it had."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self, seconds: float = 40) -> int:
        """Stop as Ctrl-C does; gives the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(seconds)


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_alive(int(entry.name))]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def prepare_data(data_dir: Path) -> None:
    """What the first start does: tables, admin, starter models. Services under test start from a copy of it."""
    subprocess.run(
        [sys.executable, "-m", "recognizer.supervisor.prepare"],
        cwd=PROJECT_DIR,
        env=environment(data_dir, port=1, DJANGO_SETTINGS_MODULE="recognizer.settings"),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=300,
    )


@contextmanager
def running_service(
    data_dir: Path, *, prepared: Path | None = None, port: int | None = None, **extra: str
) -> Iterator[RunningService]:
    """A ready service, stopped at the end. `prepared` is a data folder to start from a copy of."""
    if prepared:
        shutil.copytree(prepared, data_dir, dirs_exist_ok=True)
    service = RunningService(data_dir, port=port, **extra)
    try:
        service.wait_ready()
        yield service
    finally:
        service.stop()
