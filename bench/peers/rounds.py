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
class Round:
    """What one photo gave, at the limit and by server and number of clients."""

    photo: str
    limits: list[Limit]  # before and after
    loads: dict[str, dict[int, Load]]

    @property
    def limit_per_second(self) -> float:
        return sum(limit.per_second for limit in self.limits) / len(self.limits)


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
    say(f"{photo.stem}: limit")
    before = measure_limit(served, photo, seconds=plan.seconds)
    loads = {OURS: measure_ours(plan, photo, say=say)}
    for peer in plan.peers:
        with running(peer, served, plan.folder) as url:
            loads[peer.title] = _loads(plan, url, photo, name=peer.title, say=say)
    say(f"{photo.stem}: limit again")
    return Round(photo.stem, [before, measure_limit(served, photo, seconds=plan.seconds)], loads)


def describe_served(plan: Plan, *, say: Say) -> Served:
    """What answers in our service: the peers get the same. The first time this imports the starter models."""
    say("starting the service")
    with fresh_service(plan.folder / "data") as service:
        return service.served(plan.model)


def measure_ours(plan: Plan, photo: Path, *, say: Say) -> dict[int, Load]:
    """Our service, started for this photo."""
    with fresh_service(plan.folder / "data") as service:
        return _loads(plan, service.predict_url(plan.model), photo, name=OURS, say=say)


def _loads(plan: Plan, url: str, photo: Path, *, name: str, say: Say) -> dict[int, Load]:
    loads = {}
    for num_clients in plan.clients:
        say(f"{photo.stem}: {name}, {num_clients} clients")
        loads[num_clients] = Load(**run("bench.client", url, photo, num_clients, plan.seconds))
    return loads
