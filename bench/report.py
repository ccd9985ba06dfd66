"""The figures as text for people and as JSON for programs."""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from bench.measure import Row, Table
from bench.service import ProcessMemory
from classifier_core.hardware import describe_hardware

PACKAGES = ("Django", "waitress", "celery", "openvino", "numpy", "pillow")
# What the service must reach at 8 clients, as a share of the limit.
FLOORS = {("mobilenet_v2", "500x375", 8): 0.50, ("mobilenet_v2", "4032x3024", 8): 0.40}
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
    "floor",
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
    yield "  " + "".join(f"{heading:>9}" for heading in HEADINGS)
    for row in table.rows:
        yield "  " + "".join(f"{cell:>9}" for cell in _cells(table, row))
    yield f"  processor time of one image: limit {table.limit_cpu_ms:.1f} ms"
    for row in table.rows:
        programs = ", ".join(f"{name} {cpu_ms:.1f}" for name, cpu_ms in row.cpu_ms.items())
        yield f"    {row.num_clients} clients: {sum(row.cpu_ms.values()):.1f} ms ({programs})"


def missed_floors(tables: list[Table]) -> list[str]:
    """A sentence for each figure under its floor."""
    return [
        f"{table.model}, {table.photo}, {row.num_clients} clients: {row.ratio:.2f} of the limit is under {floor:.2f}."
        for table in tables
        for row in table.rows
        if (floor := _floor(table, row)) is not None and row.ratio < floor
    ]


def _floor(table: Table, row: Row) -> float | None:
    return FLOORS.get((table.architecture, table.photo, row.num_clients))


def _cells(table: Table, row: Row) -> list[str]:
    load = row.load
    floor = _floor(table, row)
    times = ["-" if value is None else f"{value:.1f}" for value in (load.p50_ms, load.p95_ms, load.p99_ms)]
    counts = [str(count) for count in (load.num_answers, load.num_pending, load.num_refused, load.num_lost)]
    judged = "-" if floor is None else f"{floor:.2f} {'ok' if row.ratio >= floor else 'NO'}"
    return [
        str(row.num_clients),
        f"{load.per_second:.1f}",
        *times,
        *counts,
        f"{row.ratio:.2f}",
        judged,
        f"{load.client_cpu:.0%}",
    ]


def _memory_lines(memory: list[ProcessMemory]) -> Iterator[str]:
    if not memory:
        yield "Memory: not readable on this system."
        return
    yield f"  {'memory':28}{'RSS MiB':>9}{'PSS MiB':>9}"
    for process in memory:
        yield f"  {process.name:28}{process.rss:>9.1f}{_or_dash(process.pss):>9}"
    total_pss = None if any(process.pss is None for process in memory) else sum(process.pss or 0 for process in memory)
    yield f"  {'all':28}{sum(process.rss for process in memory):>9.1f}{_or_dash(total_pss):>9}"


def _or_dash(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}"
