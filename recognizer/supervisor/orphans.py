"""A process that ends when its parent does, also when the parent was killed with -9.

Run as a script it becomes another program: `python orphans.py PARENT_PID SIGNAL PROGRAM [ARGUMENT ...]`. The request to
the kernel survives the exec, and nothing runs between fork and exec in the parent, where threads make that unsafe.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(stop_signal: signal.Signals = signal.SIGKILL, *, parent_pid: int | None = None) -> None:
    """Ask the kernel to send us `stop_signal` when the thread that started us ends. Does nothing outside Linux.

    With `parent_pid`, a parent that ended before we could ask ends us too.
    """
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent_pid is not None and os.getppid() != parent_pid:
        os._exit(0)


def wrapped(command: list[str], *, stop_signal: signal.Signals) -> list[str]:
    """The command line that runs `command` as our child, and ends it with us."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), stop_signal.name, *command]


if __name__ == "__main__":
    die_with_parent(signal.Signals[sys.argv[2]], parent_pid=int(sys.argv[1]))
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - the command comes from our own list of programs
