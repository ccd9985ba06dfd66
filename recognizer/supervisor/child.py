"""One child process: its start, its end, its log and its restarts."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from recognizer.supervisor.leftovers import ChildrenFile
from recognizer.supervisor.options import PROJECT_DIR
from recognizer.supervisor.orphans import wrapped
from recognizer.supervisor.programs import Program

MAX_DELAY_SECONDS = 10.0  # between a death and the restart
STEADY_SECONDS = 30.0  # up that long: the next death is a new story
MAX_LOG_BYTES = 10_000_000
_TAIL_BYTES = 4_000


class Child:
    """A program under supervision. All its processes are in one process group, named by its pid."""

    def __init__(self, program: Program, *, environment: dict[str, str], log: Path, children: ChildrenFile) -> None:
        self.program = program
        self.log = log
        self.deaths_in_a_row = 0
        self.was_killed = False  # the last time: from outside, so that its files have nothing to do with it
        self._environment = program.environment | environment
        self._children = children
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # monotonic seconds
        self._restart_at = 0.0

    @property
    def is_running(self) -> bool:
        """True from the start until the end was noticed by `collect`."""
        return self._process is not None

    @property
    def is_due(self) -> bool:
        """True when it should run, does not, and has waited its time."""
        return not self.is_running and time.monotonic() >= self._restart_at

    def start(self) -> None:
        """Start it in its own session, its output appended to its log."""
        self.rotate_log()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                wrapped(self.program.command, stop_signal=self.program.orphan_signal),
                cwd=PROJECT_DIR,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started_at = time.monotonic()
        self._children.remember(self.program.name, self._process.pid)

    def collect(self) -> str | None:
        """How it ended, once, if it has; also ends what it left in its group and plans the restart."""
        if self._process is None or not _has_ended(self._process):
            return None
        # Before the wait below: until then the pid, and with it the group's name, belongs to nobody else.
        self.signal_group(signal.SIGKILL)
        code = self._process.wait()
        self._process = None
        self.was_killed = code in (-signal.SIGKILL, -signal.SIGTERM)
        self._children.forget(self.program.name)
        self.postpone()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def postpone(self) -> None:
        """Count one more death and set the time of the next start."""
        now = time.monotonic()
        self.deaths_in_a_row = 1 if now - self.started_at >= STEADY_SECONDS else self.deaths_in_a_row + 1
        self._restart_at = now + self.delay_seconds

    @property
    def delay_seconds(self) -> float:
        """From the last death to the restart: doubles with each death in a row."""
        if self.deaths_in_a_row <= 1:
            return self.program.first_delay_seconds
        return min(MAX_DELAY_SECONDS, 0.5 * 2.0 ** (self.deaths_in_a_row - 1))

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def terminate(self) -> None:
        """Ask the program itself to stop; it looks after its own children."""
        if self._process is not None and not _has_ended(self._process):
            os.kill(self._process.pid, signal.SIGTERM)

    def tail(self, num_lines: int = 12) -> str:
        """The last lines of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-num_lines:])

    def rotate_log(self) -> None:
        """Keep one old log beside a long one. The writer appends, so it goes on at the new beginning."""
        if not self.log.exists() or self.log.stat().st_size <= MAX_LOG_BYTES:
            return
        with contextlib.suppress(OSError):  # no room for the old one: then the new one needs it all the more
            self.log.with_suffix(".log.1").write_bytes(self.log.read_bytes())
        os.truncate(self.log, 0)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13; leaves the ended process in place, unlike poll()
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None
