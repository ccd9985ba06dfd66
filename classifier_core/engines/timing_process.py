"""Timings from a process of its own, of the lowest priority: what it loads is gone afterwards, and who works is first.

`python -m classifier_core.engines.timing_process FOLDER CALLERS MAX_OTHERS` prints the timings of the configurations
that it reads from standard input, a line each; both are JSON.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from select import select
from tempfile import TemporaryFile
from typing import IO, Any, cast

from classifier_core.artifact import load_artifact
from classifier_core.engines import EngineSpec
from classifier_core.engines.timing import MAX_OTHERS, Configuration, Timing, time_configurations
from classifier_core.errors import ClassifierError, EngineFailed, MachineBusy
from classifier_core.separate_process import environment, last_words

MAX_SECONDS = 300
NICE = 19
_LOOK_SECONDS = 0.1  # between two looks whether somebody needs the machine
_BUSY = os.EX_TEMPFAIL


def time_separately(
    folder: Path,
    configurations: Sequence[Configuration],
    *,
    num_callers: int,
    is_wanted: Callable[[], bool] = lambda: False,
    max_others: float = MAX_OTHERS,
) -> Iterator[Timing]:
    """The timings of the artifact in this folder, each as soon as it is known. When the machine `is_wanted` it ends.

    Raises MachineBusy when that was so, or other programs left no quiet moment; EngineFailed when the process ends, or
    says nothing for MAX_SECONDS, before it told all.
    """
    asked = json.dumps([asdict(one) for one in configurations])
    num_told = 0
    with (
        TemporaryFile("w+") as complaints,
        _child([str(folder), str(num_callers), str(max_others)], complaints) as child,
    ):
        _hand_over(child, asked)
        for line in _lines(child, is_wanted):
            num_told += 1
            yield _timing(json.loads(line))
        if num_told < len(configurations):
            raise _reason(child.wait(), complaints)


@contextmanager
def _child(arguments: list[str], complaints: IO[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """The process; ended and collected however this is left."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=environment(),
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def _hand_over(child: "subprocess.Popen[bytes]", asked: str) -> None:
    # A process that has ended already says why in another place.
    with suppress(BrokenPipeError), cast(IO[bytes], child.stdin) as stdin:
        stdin.write(asked.encode())


def _lines(child: "subprocess.Popen[bytes]", is_wanted: Callable[[], bool]) -> Iterator[bytes]:
    """What the process says, line by line, until it ends; what comes after its last line was cut off."""
    stdout = cast(IO[bytes], child.stdout)
    rest, deadline = b"", time.monotonic() + MAX_SECONDS
    while True:
        if select([stdout], [], [], _LOOK_SECONDS)[0]:
            said = os.read(stdout.fileno(), 1 << 16)
            if not said:
                return
            *lines, rest = (rest + said).split(b"\n")
            yield from lines
            deadline = time.monotonic() + MAX_SECONDS
        _check(is_wanted, deadline)


def _check(is_wanted: Callable[[], bool], deadline: float) -> None:
    if is_wanted():
        raise MachineBusy("Somebody asked for recognition while it was timed, and went first.")
    if time.monotonic() > deadline:
        raise EngineFailed(f"It was not timed within {MAX_SECONDS} seconds.")


def _reason(code: int, complaints: IO[str]) -> ClassifierError:
    """Why the process ended with this code before it told all."""
    complaints.seek(0)
    words = last_words(complaints.read(), code)
    if code == _BUSY:
        return MachineBusy(words)
    if code == -signal.SIGKILL:
        return EngineFailed("It could not be timed: its process was killed, as happens where memory runs out.")
    return EngineFailed(f"It could not be timed: {words}")


def _timing(fields: dict[str, Any]) -> Timing:
    return Timing(**(fields | {"configuration": _configuration(fields["configuration"])}))


def _configuration(fields: dict[str, Any]) -> Configuration:
    return Configuration(**(fields | {"spec": EngineSpec(**fields["spec"])}))


def main(folder: str, num_callers: str, max_others: str) -> None:
    """Time the configurations on standard input."""
    os.nice(NICE)
    parent = os.getppid()
    artifact, configurations = load_artifact(folder), [_configuration(fields) for fields in json.load(sys.stdin)]
    for timing in time_configurations(
        artifact, configurations, num_callers=int(num_callers), max_others=float(max_others)
    ):
        if os.getppid() != parent:
            return  # nobody waits for it any more
        sys.stdout.write(f"{json.dumps(asdict(timing))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except MachineBusy as busy:
        sys.stderr.write(f"{busy}\n")
        sys.exit(_BUSY)
    except ClassifierError as error:
        sys.exit(str(error))
