"""The benchmark as figures: for each model and photo size the limit, the clients, and the limit once more."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import Load
from bench.limit import Limit
from bench.service import Served, Service
from recognizer.supervisor.options import PROJECT_DIR

LIMIT_SHARE = 0.5  # of a cell's seconds, for each way and each time: the limit is measured four times


@dataclass(frozen=True)
class Row:
    """The service under some clients, beside the limit from just before and just after."""

    num_clients: int
    load: Load
    ratio: float  # of answers per second to the limit
    added_ms: float | None  # see added_ms()
    cpu_ms: dict[str, float]  # processor time of each program for one request


@dataclass(frozen=True)
class Table:
    """One model with photos of one size."""

    model: str
    architecture: str
    spec: str
    photo: str
    photo_kilobytes: int
    limits: list[Limit]  # before and after
    rows: list[Row]

    @property
    def limit_per_second(self) -> float:
        """The mean of before and after; how far those are apart shows the machine's noise."""
        return _mean([limit.per_second for limit in self.limits])

    @property
    def limit_spread(self) -> float:
        """Half the distance between before and after, as a share of their mean."""
        figures = [limit.per_second for limit in self.limits]
        return (max(figures) - min(figures)) / 2 / self.limit_per_second

    @property
    def limit_cpu_ms(self) -> float:
        """Processor time of one image at the limit: what the service cannot go below."""
        return _mean([limit.cpu_ms for limit in self.limits])

    @property
    def one_image_ms(self) -> float:
        """In-process time of one image alone."""
        return _mean([limit.one_image_ms for limit in self.limits])


def measure_table(
    service: Service, served: Served, photo: Path, *, clients: list[int], seconds: float, say: Callable[[str], None]
) -> Table:
    """The table of one model and photo. Each figure takes a process of its own and leaves nothing to the next."""
    say(f"{served.name}, {photo.stem}: limit")
    before = measure_limit(served, photo, seconds=seconds)
    loads = []
    for num_clients in clients:
        say(f"{served.name}, {photo.stem}: {num_clients} clients")
        loads.append(_load(service, served, photo, num_clients=num_clients, seconds=seconds))
    say(f"{served.name}, {photo.stem}: limit again")
    limits = [before, measure_limit(served, photo, seconds=seconds)]
    per_second = _mean([limit.per_second for limit in limits])
    rows = [
        Row(num_clients, load, round(load.per_second / per_second, 3), added_ms(load.per_second, per_second), cpu_ms)
        for num_clients, (load, cpu_ms) in zip(clients, loads, strict=True)
    ]
    return Table(
        model=served.name,
        architecture=served.architecture,
        spec=str(served.spec),
        photo=photo.stem,
        photo_kilobytes=photo.stat().st_size // 1000,
        limits=limits,
        rows=rows,
    )


def added_ms(answers_per_second: float, limit_per_second: float) -> float | None:
    """What all cores together spend on an answer beyond what they spend on an image at the limit, waiting included.

    None: nothing was answered.
    """
    if not answers_per_second:
        return None
    return round(1000 * len(os.sched_getaffinity(0)) * (1 / answers_per_second - 1 / limit_per_second), 2)


def measure_limit(served: Served, photo: Path, *, seconds: float) -> Limit:
    """The limit in a process of its own, two ways in half of `seconds` each."""
    return Limit(**run("bench.limit", served.folder, served.spec, photo, seconds * LIMIT_SHARE))


def _load(
    service: Service, served: Served, photo: Path, *, num_clients: int, seconds: float
) -> tuple[Load, dict[str, float]]:
    used = service.cpu_seconds()
    load = Load(**run("bench.client", service.predict_url(served.name), photo, num_clients, seconds))
    num_requests = max(1, load.num_sent)
    spent = service.cpu_seconds()
    return load, {name: round(1000 * (spent[name] - used.get(name, 0)) / num_requests, 2) for name in spent}


def run(module: str, *arguments: object) -> dict[str, Any]:
    """The line of JSON that a module of this bench prints, run by itself."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=PROJECT_DIR, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def _mean(figures: list[float]) -> float:
    return sum(figures) / len(figures)
