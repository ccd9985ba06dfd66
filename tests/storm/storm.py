"""A storm over the real service: what strikes, in which order, and what it did."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from tests.postgres import PostgresServer
from tests.service import PROJECT_DIR, RunningService, environment, wait_until
from tests.storm import faults
from tests.storm.audit import Excuse
from tests.storm.beside import beside
from tests.storm.disk import filled
from tests.storm.ledger import Ledger
from tests.storm.load import Visitor
from tests.system import rows

RESTART_SECONDS = 120.0  # of the whole service, under load
BUSY_SECONDS = 15.0  # until a worker that was hit before works again
SPARE_BYTES = 100_000_000  # a large picture needs 156, one of a phone 36
OUT_OF_MEMORY = frozenset({"out_of_memory", "model_failed"})
OWN_NUMBERS = 1_000_000  # of the storm's own uploads, above those of the visitors
REPEATS = 10
SAID_LAST = 3_000  # characters


class Storm:
    """The service under attack, and the tally of what hit it."""

    def __init__(
        self,
        service: RunningService,
        ledger: Ledger,
        *,
        seed: int,
        env: Mapping[str, str],
        postgres: PostgresServer | None = None,
        has_small_disk: bool = False,
    ) -> None:
        self.service = service
        self.ledger = ledger
        self.random = random.Random(seed)
        self.postgres = postgres
        self.has_small_disk = has_small_disk
        self.strikes: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.hits = 0  # workers and children that were killed just when they had begun with a picture
        self.complaints: list[str] = []
        self.excuses = [Excuse(frozenset({"undecodable"}), kinds=frozenset({"broken"}))]
        self.promotions: list[subprocess.Popen[bytes]] = []
        self.visitor = Visitor(service.url, ledger, models=["fruit"])
        self._numbers = iter(range(OWN_NUMBERS, 2 * OWN_NUMBERS))
        self._env = dict(env)

    @property
    def data_dir(self) -> Path:
        return self.service.data_dir

    def strike(self, name: str) -> None:
        """Let one of FAULTS happen. What does not come back in time is a finding, and the storm goes on."""
        try:
            FAULTS[name].hit(self)
        except AssertionError as error:
            self.complain(f"{name}: {error}")
        except (OSError, KeyError, *rows.NOT_NOW):  # another fault took the victim a moment before
            return
        self.strikes[name] += 1

    def wait_healed(self) -> None:
        """Wait until every process is there and a model answers. What does not come is a finding, and we go on."""
        try:
            wait_until(lambda: len(self.service.pids()) == 5, seconds=faults.BACK_SECONDS, what="Every process")
            wait_until(lambda: self.service.answers("/readyz"), seconds=faults.BACK_SECONDS, what="A ready service")
        except AssertionError as error:
            self.complain(f"{error}. The service said last:\n{self.service.said()[-SAID_LAST:]}")

    def complain(self, finding: str) -> None:
        """Keep a finding, and say it at once: what follows from it may end the storm before the table."""
        self.complaints.append(finding)
        print(finding, file=sys.stderr, flush=True)  # noqa: T201

    def pid(self, name: str) -> int:
        wait_until(lambda: name in self.service.pids(), seconds=faults.BACK_SECONDS, what=f"A running {name}")
        return self.service.pids()[name]

    def kill(self, pid: int, *, what: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills[what] += 1

    def upload(self, kind: str) -> str:
        """One picture of the storm's own; gives its id, or nothing when the service takes none."""
        entry = self.visitor.upload(next(self._numbers), kind=kind)
        return entry.id if entry.is_promised else ""

    def kill_supervisor(self) -> None:
        """kill -9 the supervisor, and start it again with the same command."""
        self.service.process.kill()
        self.service.process.wait()
        self.kills["supervisor"] += 1
        self.service = RunningService(self.data_dir, port=self.service.port, **self._env)
        self.service.wait_ready(RESTART_SECONDS)

    def manage(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Run a command as an operator would, beside everything else."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT_DIR,
            env=environment(self.data_dir, self.service.port, **self._env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def finish_promotions(self) -> None:
        """Wait for the commands that still run; those that a fault ended were refused in words."""
        self.strikes["promotion done"] = sum(command.wait(60) == 0 for command in self.promotions)

    def poisoned(self, *, deaths: int) -> AbstractContextManager[None]:
        """Meanwhile pictures come, one after the other, of which each kills whoever decodes it, so many times."""
        self.excuses.append(Excuse(frozenset({"worker_died"}), kinds=frozenset({"poison"})))
        return beside(partial(self._poison, deaths))

    def _poison(self, deaths: int, is_over: threading.Event) -> None:
        while not is_over.wait(0.1):
            key = self.upload("poison")
            self.strikes["poison picture"] += bool(key)
            self._kill_whoever_has(key, is_over, deaths)

    def _kill_whoever_has(self, key: str, is_over: threading.Event, deaths: int) -> None:
        killed_at = 0
        while key and deaths and not is_over.wait(0.02):
            with suppress(*rows.NOT_NOW):
                row = rows.prediction(self.data_dir, key)
                if row.has_ended:
                    return
                if row.status == "running" and row.attempts > killed_at:
                    killed_at, deaths = row.attempts, deaths - 1
                    with suppress(AssertionError, KeyError, OSError, ValueError):  # its worker is down by itself
                        self.kill(faults.pool_child(self.service), what="pool child by poison")


@dataclass(frozen=True)
class Fault:
    """One way to strike, and how often it comes in a deck of all of them; in a short storm's only deck."""

    hit: Callable[[Storm], None]
    share: int = 1
    short_share: int = 1


def _kill_worker(storm: Storm) -> None:
    pid = storm.pid("worker")
    storm.hits += faults.wait_busy(storm.data_dir, seconds=BUSY_SECONDS)
    storm.kill(pid, what="worker")


def _kill_pool_child(storm: Storm) -> None:
    storm.pid("worker")
    child = faults.pool_child(storm.service)
    storm.hits += faults.wait_busy(storm.data_dir, seconds=BUSY_SECONDS)
    storm.kill(child, what="pool child")


def _killer(name: str) -> Callable[[Storm], None]:
    return lambda storm: storm.kill(storm.pid(name), what=name)


def _empty_broker(storm: Storm) -> None:
    faults.kill_and_empty(storm.service, storm.pid("broker"))
    storm.kills["broker"] += 1


def _hang_broker(storm: Storm) -> None:
    with faults.stopped(storm.pid("broker")):
        time.sleep(storm.random.uniform(2, 5))


def _restart_postgres(storm: Storm) -> None:
    assert storm.postgres
    storm.postgres.kill()
    storm.kills["postgres"] += 1
    time.sleep(storm.random.uniform(0, 2))
    storm.postgres.start()


def _fill_disk(storm: Storm) -> None:
    with filled(storm.data_dir):
        time.sleep(storm.random.uniform(2, 4))


def _take_memory(storm: Storm) -> None:
    storm.pid("worker")
    faults.wait_busy(storm.data_dir, seconds=BUSY_SECONDS)  # it has loaded its models: what they need is not taken
    since = datetime.now(UTC)
    with faults.little_memory(faults.pool_child(storm.service), spare_bytes=SPARE_BYTES):
        keys = [key for key in (storm.upload("large"), storm.upload("large")) if key]
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline and not all(rows.prediction(storm.data_dir, key).has_ended for key in keys):
            time.sleep(0.1)
    until = datetime.now(UTC) + timedelta(seconds=2)  # what failed just now is stored in a moment
    storm.excuses.append(Excuse(OUT_OF_MEMORY, since=since, until=until))


def _repeat_messages(storm: Storm) -> None:
    with suppress(RedisError, KombuError, OSError):  # the broker is down: then nothing is delivered twice
        faults.repeat_messages(storm.data_dir, names=["predict", "reconcile", "sweep"], times=REPEATS)


def _promote(storm: Storm) -> None:
    """The other starter version of a model, or back again. A fault may stop the command; then a later turn does it."""
    there = ("promote", "garbage", "1", "--force", "--reason", "the storm")
    storm.promotions.append(storm.manage(*(("rollback", "garbage") if len(storm.promotions) % 2 else there)))


FAULTS = {
    "worker killed": Fault(_kill_worker, 4),
    "pool child killed": Fault(_kill_pool_child, 6),
    "web killed": Fault(_killer("web"), 4),
    "beat killed": Fault(_killer("beat"), 3),
    "trainer killed": Fault(_killer("trainer"), 1, 0),
    "broker killed": Fault(_killer("broker"), 2),
    "broker emptied": Fault(_empty_broker, 2),
    "broker hangs": Fault(_hang_broker, 1),
    "supervisor killed": Fault(lambda storm: storm.kill_supervisor(), 1),
    "PostgreSQL killed": Fault(_restart_postgres, 2),
    "disk full": Fault(_fill_disk, 1),
    "no memory": Fault(_take_memory, 1),
    "messages repeated": Fault(_repeat_messages, 2),
    "version promoted": Fault(_promote, 2),
}
NOT_HERE = {
    "PostgreSQL killed": lambda storm: "" if storm.postgres else "the rows are in SQLite",
    "disk full": lambda storm: "" if storm.has_small_disk else "no small disk could be mounted; that takes root",
}


def reason_against(storm: Storm, name: str) -> str:
    """Why this fault cannot happen here; empty: it can."""
    return NOT_HERE.get(name, lambda _: "")(storm)


def deck(storm: Storm, *, is_short: bool) -> list[str]:
    """All faults that can happen here, each as often as its share says, shuffled."""
    shares = {name: fault.short_share if is_short else fault.share for name, fault in FAULTS.items()}
    names = [name for name, share in shares.items() if not reason_against(storm, name) for _ in range(share)]
    storm.random.shuffle(names)
    return names
