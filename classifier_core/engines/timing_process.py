"""Timings from a process of its own, of the lowest priority: what it loads is gone afterwards, and who works is first.

`python -m classifier_core.engines.timing_process FOLDER CALLERS MAX_OTHERS` prints the timings of the configurations
that it reads from standard input; both are JSON.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
) -> list[Timing]:
    """The timings of the artifact in this folder. As soon as the machine `is_wanted` the process is ended.

    Raises MachineBusy when that was so, or other programs left no quiet moment; EngineFailed when it gives none.
    """
    arguments = [str(folder), str(num_callers), str(max_others)]
    with _child(arguments) as child:
        asked: str | None = json.dumps([asdict(one) for one in configurations])
        deadline = time.monotonic() + MAX_SECONDS
        while True:
            try:
                said, complaints = child.communicate(asked, timeout=_LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                asked = None  # it was handed over
                _check(is_wanted, deadline)
    return _read(child.returncode, said, complaints)


@contextmanager
def _child(arguments: list[str]) -> "Iterator[subprocess.Popen[str]]":
    """The process; ended and collected however this is left."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def _check(is_wanted: Callable[[], bool], deadline: float) -> None:
    if is_wanted():
        raise MachineBusy("Somebody asked for recognition while it was timed, and went first.")
    if time.monotonic() > deadline:
        raise EngineFailed(f"Nothing was timed within {MAX_SECONDS} seconds.")


def _read(code: int, said: str, complaints: str) -> list[Timing]:
    if code == _BUSY:
        raise MachineBusy(last_words(complaints, code))
    if code:
        raise EngineFailed(f"Nothing could be timed: {last_words(complaints, code)}")
    return [Timing(**(row | {"configuration": _configuration(row["configuration"])})) for row in json.loads(said)]


def _configuration(fields: dict[str, Any]) -> Configuration:
    return Configuration(**(fields | {"spec": EngineSpec(**fields["spec"])}))


def main(folder: str, num_callers: str, max_others: str) -> None:
    """Time the configurations on standard input."""
    os.nice(NICE)
    parent = os.getppid()
    artifact, configurations = load_artifact(folder), [_configuration(fields) for fields in json.load(sys.stdin)]
    timings = []
    for timing in time_configurations(
        artifact, configurations, num_callers=int(num_callers), max_others=float(max_others)
    ):
        if os.getppid() != parent:
            return  # nobody waits for it any more
        timings.append(asdict(timing))
    sys.stdout.write(json.dumps(timings))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except MachineBusy as busy:
        sys.stderr.write(f"{busy}\n")
        sys.exit(_BUSY)
    except ClassifierError as error:
        sys.exit(str(error))
