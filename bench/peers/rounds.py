"""One round: the limit, ours and each peer in turn, with one photo, and the limit once more."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.client import Load
from bench.limit import Limit
from bench.measure import measure_limit, run
from bench.peers.programs import Peer, running
from bench.service import Served, fresh_service

OURS = "ours"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """A server under some clients."""

    load: Load
    cpu_ms: float  # processor time of all its processes for one request


@dataclass(frozen=True)
class Round:
    """What one photo gave, at the limit and by server and number of clients."""

    photo: str
    limits: list[Limit]  # before and after
    loads: dict[str, dict[int, Measured]]

    @property
    def limit_per_second(self) -> float:
        return sum(limit.per_second for limit in self.limits) / len(self.limits)


@dataclass(frozen=True)
class Server:
    """Anything that takes photos."""

    name: str
    url: str
    cpu_seconds: Callable[[], float]  # of all its processes so far


@dataclass(frozen=True)
class Plan:
    """What to measure, and where the service keeps its data from round to round."""

    model: str
    clients: list[int]
    seconds: float
    peers: tuple[Peer, ...]
    folder: Path


def measure_round(plan: Plan, photo: Path, *, say: Say) -> Round:
    """Only the server that is measured runs. Raises ServiceFailed and PeerFailed."""
    served = describe_served(plan, say=say)
    before = measure_limit(served, photo, seconds=plan.seconds)
    say(f"{photo.stem}: limit {before.per_second} images/s")
    loads = {OURS: measure_ours(plan, photo, say=say)}
    for peer in plan.peers:
        with running(peer, served, plan.folder) as one:
            server = Server(peer.title, one.url, one.cpu_seconds)
            loads[peer.title] = _loads(plan, server, photo, say=say)
    after = measure_limit(served, photo, seconds=plan.seconds)
    say(f"{photo.stem}: limit {after.per_second} images/s")
    return Round(photo.stem, [before, after], loads)


def describe_served(plan: Plan, *, say: Say) -> Served:
    """What answers in our service: the peers get the same. The first time this imports the starter models."""
    say("starting the service")
    with fresh_service(plan.folder / "data") as service:
        return service.served(plan.model)


def measure_ours(plan: Plan, photo: Path, *, say: Say) -> dict[int, Measured]:
    """Our service, started for this photo."""
    with fresh_service(plan.folder / "data") as service:
        server = Server(OURS, service.predict_url(plan.model), lambda: sum(service.cpu_seconds().values()))
        return _loads(plan, server, photo, say=say)


def _loads(plan: Plan, server: Server, photo: Path, *, say: Say) -> dict[int, Measured]:
    loads = {}
    for num_clients in plan.clients:
        used = server.cpu_seconds()
        load = Load(**run("bench.client", server.url, photo, num_clients, plan.seconds))
        cpu_ms = 1000 * (server.cpu_seconds() - used) / max(1, load.num_sent)
        loads[num_clients] = Measured(load, round(cpu_ms, 1))
        figures = (
            f"{load.per_second} req/s, p50 {load.p50_ms} ms, p95 {load.p95_ms} ms, {cpu_ms:.1f} ms of processor time"
        )
        say(f"{photo.stem}: {server.name}, {num_clients} clients: {figures}")
    return loads
