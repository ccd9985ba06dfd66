"""The figures as text for people and as JSON for programs."""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from bench.measure import Row, Table
from bench.service import ProcessMemory
from classifier_core.hardware import describe_hardware

PACKAGES = ("Django", "waitress", "celery", "openvino", "numpy", "pillow")


@dataclass(frozen=True)
class Floor:
    """What the service must reach: a share of the limit, or, where the network is fast, no more added to an answer."""

    ratio: float
    added_ms: float = 0.0

    def is_reached(self, row: Row) -> bool:
        """Whether one of the two holds."""
        return row.ratio >= self.ratio or (row.added_ms is not None and row.added_ms <= self.added_ms)

    def __str__(self) -> str:
        return f"{self.ratio:.2f}" + (f" or {self.added_ms:.2f} ms" if self.added_ms else "")


# docs/decisions/0014: 0.60 beside a limit of 208 images a second on two cores is 6.41 ms for each answer.
SMALL, LARGE = Floor(0.60, 6.41), Floor(0.50)
FLOORS = {
    ("mobilenet_v2", "500x375", 8): SMALL,
    ("mobilenet_v2", "500x375", 32): SMALL,
    ("mobilenet_v2", "4032x3024", 8): LARGE,
}
HEADINGS = (
    "clients",
    "req/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "answers",
    "202",
    "other",
    "lost",
    "ratio",
    "added ms",
    "client",
)


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "cpu": describe_hardware().cpu,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def to_json(tables: list[Table], memory: list[ProcessMemory], *, seconds: float) -> dict[str, Any]:
    """Everything that was measured, as plain values."""
    return {
        "machine": machine(),
        "seconds": seconds,
        "tables": [
            asdict(table)
            | {
                "limit_per_second": round(table.limit_per_second, 1),
                "limit_spread": round(table.limit_spread, 3),
                "limit_cpu_ms": round(table.limit_cpu_ms, 2),
                "one_image_ms": round(table.one_image_ms, 2),
            }
            for table in tables
        ],
        "memory_mib": [asdict(process) for process in memory],
    }


def to_text(tables: list[Table], memory: list[ProcessMemory]) -> str:
    """The same for people."""
    here = machine()
    packages = ", ".join(f"{name} {number}" for name, number in here["packages"].items())
    lines = [f"{here['cores']} cores of {here['cpu']}, Python {here['python']}, {packages}"]
    for table in tables:
        lines += ["", *_table_lines(table)]
    return "\n".join([*lines, "", *_memory_lines(memory)])


def _table_lines(table: Table) -> Iterator[str]:
    before, after = table.limits
    engine = f"{table.architecture}, {table.spec}"
    yield f"{table.model} ({engine}), JPEG of {table.photo} pixels, {table.photo_kilobytes} kB"
    yield (
        f"  limit {table.limit_per_second:.1f} images/s, spread {table.limit_spread:.0%}  (serial batches "
        f"{before.serial_batches:.1f} and {after.serial_batches:.1f}, lanes {before.lanes:.1f} and {after.lanes:.1f}); "
        f"one image alone {table.one_image_ms:.1f} ms"
    )
    yield "  " + "".join(f"{heading:>9}" for heading in HEADINGS) + "  floor"
    for row in table.rows:
        yield "  " + "".join(f"{cell:>9}" for cell in _cells(row)) + f"  {_judged(table, row)}"
    yield f"  processor time of one image: limit {table.limit_cpu_ms:.1f} ms"
    for row in table.rows:
        programs = ", ".join(f"{name} {cpu_ms:.1f}" for name, cpu_ms in row.cpu_ms.items())
        yield f"    {row.num_clients} clients: {sum(row.cpu_ms.values()):.1f} ms ({programs})"


def missed_floors(tables: list[Table]) -> list[str]:
    """A sentence for each figure under its floor."""
    return [
        f"{table.model}, {table.photo}, {row.num_clients} clients: {row.ratio:.3f} of the limit, "
        f"{_added(row)} ms added; the floor is {floor}."
        for table in tables
        for row in table.rows
        if (floor := _floor(table, row)) and not floor.is_reached(row)
    ]


def _floor(table: Table, row: Row) -> Floor | None:
    return FLOORS.get((table.architecture, table.photo, row.num_clients))


def _judged(table: Table, row: Row) -> str:
    floor = _floor(table, row)
    return f"{floor} {'ok' if floor.is_reached(row) else 'NO'}" if floor else "-"


def _cells(row: Row) -> list[str]:
    load = row.load
    times = [_figure(value) for value in (load.p50_ms, load.p95_ms, load.p99_ms)]
    counts = [str(count) for count in (load.num_answers, load.num_pending, load.num_refused, load.num_lost)]
    return [
        str(row.num_clients),
        f"{load.per_second:.1f}",
        *times,
        *counts,
        f"{row.ratio:.3f}",
        _added(row),
        f"{load.client_cpu:.0%}",
    ]


def _added(row: Row) -> str:
    return "-" if row.added_ms is None else f"{row.added_ms:.2f}"


def _memory_lines(memory: list[ProcessMemory]) -> Iterator[str]:
    if not memory:
        yield "Memory: not readable on this system."
        return
    yield f"  {'memory':28}{'RSS MiB':>9}{'PSS MiB':>9}"
    for process in memory:
        yield f"  {process.name:28}{process.rss:>9.1f}{_figure(process.pss):>9}"
    total_pss = None if any(process.pss is None for process in memory) else sum(process.pss or 0 for process in memory)
    yield f"  {'all':28}{sum(process.rss for process in memory):>9.1f}{_figure(total_pss):>9}"


def _figure(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}"
