"""A fresh service for one benchmark, as `make serve` starts it, and the memory of its processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier_core.engines import EngineSpec
from recognizer.supervisor.options import PROJECT_DIR, Options
from recognizer.supervisor.orphans import wrapped
from recognizer.supervisor.paths import run_dir
from recognizer.supervisor.programs import web_answers

START_SECONDS = 180.0  # the starter models are imported first
STOP_SECONDS = 40.0
# A benchmark writes thousands of rows and files: never into a database, broker or bucket that somebody uses.
NEVER_PASSED_ON = {"DATABASE_URL", "RECOGNIZER_BROKER_URL", "RECOGNIZER_S3_BUCKET", "RECOGNIZER_DATA_DIR"}


class ServiceFailed(Exception):
    """The service did not come up. The text is what it said."""


@dataclass(frozen=True)
class Served:
    """What answers for one registered model."""

    name: str
    architecture: str
    folder: Path  # of the artifact
    spec: EngineSpec


@dataclass(frozen=True)
class ProcessMemory:
    """Memory of one process, in MiB. `pss` shares out what several processes have in common; None if not readable."""

    name: str
    rss: float
    pss: float | None


class Service:
    """A running service on this machine."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def served(self, model: str) -> Served:
        """The version that answers for this model, from the API."""
        with urllib.request.urlopen(f"{self.options.url}/api/models/{model}/", timeout=30) as response:
            described: dict[str, Any] = json.load(response)
        loaded = described["loaded"][0]
        version = next(row for row in described["versions"] if row["version"] == loaded["version"])
        return Served(
            name=model,
            architecture=version["architecture"],
            folder=self.options.data_dir / "media" / "artifacts" / version["artifact_sha256"],
            spec=EngineSpec(loaded["engine"], loaded["device"], loaded["precision"]),
        )

    def predict_url(self, model: str) -> str:
        return f"{self.options.url}/api/predict/?model={model}"

    def memory(self) -> list[ProcessMemory]:
        """Every process of the service. Empty where there is no /proc."""
        return [memory_of(_role(name, pid), pid) for name, pid in self._family()]

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time so far of each program of the service, its children's included. Empty without /proc."""
        used: dict[str, float] = {}
        for name, pid in self._family():
            used[name] = used.get(name, 0.0) + cpu_seconds_of(pid)
        return used

    def _family(self) -> list[tuple[str, int]]:
        rows = json.loads((run_dir(self.options.data_dir) / "children.json").read_text())
        programs = [(row["name"], row["pid"]) for row in rows if Path(f"/proc/{row['pid']}").exists()]
        return programs + [(name, child) for name, pid in programs for child in children_of(pid)]


@contextmanager
def fresh_service(data_dir: Path) -> Iterator[Service]:
    """A ready service in this folder, stopped at the end. Raises ServiceFailed."""
    options = Options(host="127.0.0.1", port=free_port(), data_dir=data_dir, has_own_broker=True)
    kept = {name: value for name, value in options.environment().items() if name not in NEVER_PASSED_ON}
    said = data_dir / "supervisor.out"
    with said.open("wb") as output:
        process = subprocess.Popen(
            wrapped([sys.executable, "-m", "recognizer.supervisor"], stop_signal=signal.SIGTERM),
            cwd=PROJECT_DIR,
            env=kept
            | {
                "RECOGNIZER_DATA_DIR": str(data_dir),
                "RECOGNIZER_RATE_LIMIT": "off",
                "RECOGNIZER_TIME_ENGINES": "no",  # nothing else is measured meanwhile
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_ready(process, options, said)
        yield Service(options)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait_ready(process: subprocess.Popen[bytes], options: Options, said: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not web_answers(options, "/readyz"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceFailed(f"The service did not start. It said:\n{said.read_text()}")
        time.sleep(0.2)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """The processes that this one has started. Empty without /proc."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # not Linux, or a kernel without this file
        return []


def _role(name: str, pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_text()
    if "_tracker" in command:  # multiprocessing's, which removes what a dead process left
        return f"{name}, tracker"
    return f"{name}, child" if "spawn_main" in command else name


def cpu_seconds_of(pid: int) -> float:
    """Processor time of one process so far."""
    # Fields 14 and 15 of proc(5), in ticks; the second field is a name that may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(name: str, pid: int) -> ProcessMemory:
    """Of one process."""
    status = Path(f"/proc/{pid}/status").read_text()
    try:
        pss = _mebibytes(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")
    except OSError:
        pss = None
    return ProcessMemory(name, _mebibytes(status, "VmRSS:"), pss)


def _mebibytes(text: str, key: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith(key))
    return round(int(line.split()[1]) / 1024, 1)
