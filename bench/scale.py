"""`python -m bench.scale`: one and two worker processes, and one that serves ten more models in turn.

A fresh service under steady clients: with its one worker, with a second one beside it, then with the starter model
`fruit` under ten more names. At the end nobody asks for a while, and models leave memory.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.markdown import table
from bench.overload import Press, percentiles
from bench.photos import write_photo
from bench.service import NEVER_PASSED_ON, Service, ServiceFailed, children_of, fresh_service, memory_of
from recognizer.supervisor.options import PROJECT_DIR
from recognizer.supervisor.programs import list_programs

MODEL = "fruit"
NAMES = [f"copy-{number}" for number in range(10)]
WAIT_SECONDS = 120.0
HEADINGS = (
    "what",
    "answers/s",
    "p50 ms",
    "p95 ms",
    "other",
    "PSS of workers' children MiB",
    "PSS of the service MiB",
)
IMPORT = """
from django.conf import settings
from recognizer.registry.imports import import_artifact
from recognizer.registry.promotion import promote
for name in {names}:
    version, _ = import_artifact(settings.BASE_DIR / "starters" / "{model}", model_name=name, description="A copy.")
    promote(version, by=None, reason="bench")
"""


def main() -> int:
    """Measure and print. Gives 1 when the service does not start."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=8, help="at a time (default: 8)")
    parser.add_argument("--seconds", type=float, default=10, help="of each line (default: 10)")
    parser.add_argument("--idle", type=int, default=30, help="seconds after which a model leaves memory (default: 30)")
    options = parser.parse_args()
    os.environ["RECOGNIZER_UNLOAD_AFTER"] = str(options.idle)
    try:
        with tempfile.TemporaryDirectory(prefix="recognizer-scale-") as scratch:
            lines = measure(Path(scratch), options)
    except ServiceFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(table(HEADINGS, lines))
    return 0


def measure(scratch: Path, options: argparse.Namespace) -> list[list[str]]:
    """The lines of the table."""
    photo = write_photo(scratch, "500x375").read_bytes()
    (scratch / "data").mkdir()
    with fresh_service(scratch / "data") as service:
        load = Loader(service, photo, options)
        lines = [load.line("one worker", [MODEL])]
        with second_worker(service) as pid:
            wait_until(lambda: len(loaded(service)[MODEL]) == 2, "the second worker")
            lines.append(load.line("two workers", [MODEL], second=pid))
        import_copies(service)
        lines.append(load.line("one worker, one of 13 models", [MODEL]))
        lines.append(load.line("one worker, ten of 13 in turn", NAMES))
        wait_until(lambda: not num_in_memory(service), "idle models to leave memory")
        lines.append(["nobody asks", "", "", "", "", *memory(service)])
        lines.append(load.line("one worker, asked again", [MODEL]))
        return lines


class Loader:
    """The same clients for every line."""

    def __init__(self, service: Service, photo: bytes, options: argparse.Namespace) -> None:
        self._service, self._photo, self._options = service, photo, options

    def line(self, what: str, models: list[str], *, second: int | None = None) -> list[str]:
        """Its cells: what was answered, and the memory at the end."""
        seconds = self._options.seconds
        press = Press([self._service.predict_url(model) for model in models], self._photo)
        seen = press.run(self._options.clients, seconds=seconds, is_patient=True)
        answers = [one.seconds for one in seen if one.status == http.HTTPStatus.OK]
        cells = [what, f"{len(answers) / seconds:.1f}", *percentiles(answers), str(len(seen) - len(answers))]
        return [*cells, *memory(self._service, second)]


def memory(service: Service, second: int | None = None) -> list[str]:
    """PSS of the processes that hold models, and of all."""
    processes = service.memory()
    beside = [second, *children_of(second)] if second else []
    others = [memory_of("worker, child" if pid != second else "worker", pid) for pid in beside]
    found = [process for process in [*processes, *others] if process.pss is not None]
    # Beside the one with models there is multiprocessing's tracker.
    children = [process.pss for process in found if process.name == "worker, child" and (process.pss or 0) > 50]
    return [" + ".join(f"{pss:.0f}" for pss in children), f"{sum(process.pss or 0 for process in found):.0f}"]


@contextmanager
def second_worker(service: Service) -> Iterator[int]:
    """One more worker with the command of the service's own, under another name; its process id."""
    program = next(one for one in list_programs(service.options) if one.name == "worker")
    command = [word.replace("predict@", "predict2@") for word in program.command]
    process = subprocess.Popen(
        command,
        cwd=PROJECT_DIR,
        env={**program.environment, **_environment(service)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def import_copies(service: Service) -> None:
    """Ten more models, all of them loaded."""
    code = IMPORT.format(names=NAMES, model=MODEL)
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-v", "0", "-c", code]
    subprocess.run(command, cwd=PROJECT_DIR, env=_environment(service), check=True, stdout=subprocess.DEVNULL)
    wait_until(lambda: all(len(loaded(service).get(name, [])) == 1 for name in NAMES), "the copies")


def _environment(service: Service) -> dict[str, str]:
    others = NEVER_PASSED_ON - {"RECOGNIZER_DATA_DIR"}
    return {name: value for name, value in service.options.environment().items() if name not in others}


def loaded(service: Service) -> dict[str, list[dict[str, Any]]]:
    """What live workers hold, by model."""
    with urllib.request.urlopen(f"{service.options.url}/api/models/", timeout=30) as response:
        return {model["name"]: model["loaded"] for model in json.load(response)}


def num_in_memory(service: Service) -> int:
    return sum(one["in_memory"] for rows in loaded(service).values() for one in rows)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise ServiceFailed(f"Waited {WAIT_SECONDS:.0f} s for {what}.")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
