"""Children that outlived a killed supervisor: remembered by exact identity, ended at the next start.

A process id alone proves nothing, since the system gives it to others later. Id and start time together do.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

GRACE_SECONDS = 5.0


def start_time(pid: int) -> str | None:
    """When the process started, in the system's own words; None when there is no such process."""
    if Path("/proc/self/stat").exists():
        return _linux_start_time(pid)
    shown = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _linux_start_time(pid: int) -> str | None:
    try:
        # The second field is the program's name, in brackets, and may hold anything; the state follows it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[0] in "ZX" else f"{boot_id} {fields[19]}"  # field 22 of proc(5), in ticks since boot


class ChildrenFile:
    """The children of the running service on disk, so that the next start knows what a killed one left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started: dict[str, tuple[int, str | None]] = {}
        self._is_behind = False  # the last change could not be written

    def remember(self, name: str, pid: int) -> None:
        """Write down a child that was just started."""
        self._started[name] = (pid, start_time(pid))
        self._write()

    def forget(self, name: str) -> None:
        """Strike out a child that has ended."""
        self._started.pop(name, None)
        self._write()

    def catch_up(self) -> None:
        """Write what could not be written when it happened."""
        if self._is_behind:
            self._write()

    def _write(self) -> None:
        rows = [{"name": name, "pid": pid, "started": started} for name, (pid, started) in self._started.items()]
        fresh = self.path.with_suffix(".new")
        self._is_behind = True
        # A disk that is full just now must not end a service that runs.
        with contextlib.suppress(OSError):
            fresh.write_text(json.dumps(rows))
            fresh.replace(self.path)
            self._is_behind = False

    def end_leftovers(self) -> list[str]:
        """End what the file names and still runs, by pid and start time; gives the names."""
        left = self._leftovers()
        pids = list(left.values())
        _signal_groups(pids, signal.SIGTERM)
        _wait_until(lambda: not any(start_time(pid) for pid in pids), seconds=GRACE_SECONDS)
        _signal_groups([pid for pid in pids if start_time(pid)], signal.SIGKILL)
        _wait_until(lambda: not any(start_time(pid) for pid in pids), seconds=GRACE_SECONDS)
        return list(left)

    def _leftovers(self) -> dict[str, int]:
        try:
            rows = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):  # a power cut may leave half a file: after it nothing runs either
            return {}
        return {row["name"]: row["pid"] for row in rows if row["started"] and row["started"] == start_time(row["pid"])}


def _signal_groups(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def _wait_until(is_done: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.05)
