"""The rounds as one table."""

import json
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from bench.markdown import table
from bench.peers.network import PLAIN, SAME_ENGINE
from bench.peers.programs import PEERS, PYTHON
from bench.peers.rounds import OURS, Round
from bench.report import machine

RIVALS = {way: tuple(peer.title for peer in PEERS if peer.way == way) for way in (SAME_ENGINE, PLAIN)}
HEADINGS = (
    "photo",
    "clients",
    "server",
    "req/s",
    "least-most",
    "p50 ms",
    "p95 ms",
    "cpu ms",
    "failed",
    "of limit",
    "beside peer",
    "beside plain",
)


@dataclass(frozen=True)
class Cell:
    """One server with one photo and number of clients: medians over the rounds."""

    photo: str
    num_clients: int
    server: str
    per_second: float
    least: float
    most: float
    p50_ms: float | None
    p95_ms: float | None
    cpu_ms: float
    num_failed: int  # anything but an answer
    ratio: float  # to the limit of the same round


def cells_of(rounds: list[Round]) -> list[Cell]:
    """Every figure, in the order of the table."""
    ordered = sorted(rounds, key=lambda one: one.photo, reverse=True)
    return [
        _cell(list(same), num_clients, server)
        for _, same in ((photo, list(group)) for photo, group in groupby(ordered, key=lambda one: one.photo))
        for num_clients in same[0].loads[OURS]
        for server in same[0].loads
    ]


def _cell(rounds: list[Round], num_clients: int, server: str) -> Cell:
    measured = [one.loads[server][num_clients] for one in rounds]
    loads = [one.load for one in measured]
    paces = [load.per_second for load in loads]
    return Cell(
        photo=rounds[0].photo,
        num_clients=num_clients,
        server=server,
        per_second=statistics.median(paces),
        least=min(paces),
        most=max(paces),
        p50_ms=_median([load.p50_ms for load in loads]),
        p95_ms=_median([load.p95_ms for load in loads]),
        cpu_ms=statistics.median(one.cpu_ms for one in measured),
        num_failed=sum(load.num_pending + load.num_refused + load.num_lost for load in loads),
        ratio=statistics.median(
            load.per_second / one.limit_per_second for load, one in zip(loads, rounds, strict=True)
        ),
    )


def _median(figures: list[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if known else None


def beside_peer(cells: list[Cell], *, photo: str, num_clients: int, way: str = SAME_ENGINE) -> float | None:
    """Our requests per second as a multiple of the faster peer's that runs this way. None without a peer."""
    paces = {cell.server: cell.per_second for cell in cells if (cell.photo, cell.num_clients) == (photo, num_clients)}
    fastest = max((paces.get(rival, 0.0) for rival in RIVALS[way]), default=0.0)
    return paces[OURS] / fastest if fastest else None


def to_text(rounds: list[Round], *, about: str) -> str:
    """The table for people, below what it was measured on."""
    return "\n".join([*_heading(rounds, about), "", to_markdown(cells_of(rounds))])


def to_markdown(cells: list[Cell]) -> str:
    """The table alone."""
    return table(HEADINGS, (_words(cell, cells) for cell in cells))


def _words(cell: Cell, cells: list[Cell]) -> tuple[str, ...]:
    ways = RIVALS if cell.server == OURS else ()
    beside = [beside_peer(cells, photo=cell.photo, num_clients=cell.num_clients, way=way) for way in ways]
    return (
        *(
            cell.photo,
            str(cell.num_clients),
            cell.server,
            f"{cell.per_second:.1f}",
            f"{cell.least:.1f}-{cell.most:.1f}",
        ),
        *(
            _or_dash(cell.p50_ms),
            _or_dash(cell.p95_ms),
            f"{cell.cpu_ms:.0f}",
            str(cell.num_failed),
            f"{cell.ratio:.2f}",
        ),
        *("" if ratio is None else f"{ratio:.2f}" for ratio in beside or (None, None)),
    )


def _or_dash(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.0f}"


def _heading(rounds: list[Round], about: str) -> Iterator[str]:
    here = machine()
    packages = {**here["packages"], **peer_versions()}
    listed = ", ".join(f"{name} {number}" for name, number in packages.items())
    yield f"{here['cores']} cores of {here['cpu']}, Python {here['python']}, {listed}"
    yield about
    for one in sorted(rounds, key=lambda one: one.photo, reverse=True):
        figures = ", ".join(f"{limit.per_second:.1f}" for limit in one.limits)
        work = statistics.mean(limit.cpu_ms for limit in one.limits)
        alone = statistics.mean(limit.one_image_ms for limit in one.limits)
        yield (
            f"{one.photo}: limit {figures} images/s before and after, {work:.1f} ms of processor time; "
            f"one image alone {alone:.1f} ms"
        )


def peer_versions() -> dict[str, str]:
    """Of what runs in the peers' venv."""
    code = "import json; from importlib.metadata import version as v; print(json.dumps({n: v(n) for n in NAMES}))"
    names = f"NAMES = {('litserve', 'bentoml', 'torch')}; "
    done = subprocess.run([PYTHON, "-c", names + code], check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))
