"""The course of a storm: set up, strike, let everything come back, reckon up."""

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import PostgresServer, running_postgres
from tests.service import RunningService
from tests.storm.audit import Findings, audit
from tests.storm.disk import small_disk
from tests.storm.ledger import Ledger
from tests.storm.load import steady_load
from tests.storm.report import table
from tests.storm.storm import Storm, deck
from tests.storm.witness import Witness
from tests.system import rows

MAX_PENDING = 2000  # twice the default, so that more is promised: 70 to 80 s to drain, on two cores with nothing beside
PROMISED_SECONDS = 120.0  # from everything being up again to the end of every prediction
SWEEP = "from recognizer.predictions.sweeping import sweep_part; [sweep_part(part) for part in range(256)]"


@dataclass(frozen=True)
class Plan:
    """What kind of storm. The seed decides the order of the faults, not what the machine makes of them."""

    seed: int
    minutes: float = 0  # 0: each fault once, then it is over
    database: str = "sqlite"
    rate: float = 40.0  # uploads a second


@dataclass(frozen=True)
class Outcome:
    text: str
    findings: Findings


def ride_out(plan: Plan, folder: Path, *, prepared: Path | None = None) -> Outcome:
    """A storm over a fresh service in this folder. `prepared` is a data folder to start from, for SQLite only."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres()) if plan.database == "postgres" else None
        has_small_disk = stack.enter_context(small_disk(folder))
        if prepared and not postgres:
            shutil.copytree(prepared, folder, dirs_exist_ok=True)
        storm = _begin(plan, folder, postgres, has_small_disk=has_small_disk)
        stack.callback(lambda: storm.service.stop())  # noqa: PLW0108 - the service that runs then, not this one
        return _weather(plan, storm)


def _begin(plan: Plan, folder: Path, postgres: PostgresServer | None, *, has_small_disk: bool) -> Storm:
    env = {"RECOGNIZER_MAX_PENDING": str(MAX_PENDING)} | ({"DATABASE_URL": postgres.url} if postgres else {})
    service = RunningService(folder, **env)
    if postgres:
        rows.are_on_postgres(folder, postgres.url)
    try:
        service.wait_ready(180)
        ledger = Ledger(folder)
    except BaseException:
        service.stop()
        raise
    return Storm(service, ledger, seed=plan.seed, env=env, postgres=postgres, has_small_disk=has_small_disk)


def _weather(plan: Plan, storm: Storm) -> Outcome:
    witness = Witness(storm.data_dir)
    load = steady_load(storm.service.url, storm.ledger, models=_model_names(storm), rate=plan.rate)
    start = time.monotonic()
    with witness.watching():
        with load, storm.poisoned(deaths=5 if plan.minutes else 2):
            for name in _strikes(plan, storm):
                storm.strike(name)
                time.sleep(storm.random.uniform(0, 2 if plan.minutes else 1))
            storm.wait_healed()
        lasted = time.monotonic() - start
        drained = _drain(storm)
    storm.finish_promotions()
    if code := storm.service.stop():
        storm.complain(f"the service ended with code {code}")
    findings = audit(storm.ledger, witness, storm.excuses, sweep=lambda: storm.manage("shell", "-c", SWEEP).wait())
    findings.unfinished += storm.complaints
    return Outcome(table(plan, storm, findings, lasted=lasted, drained=drained), findings)


def _strikes(plan: Plan, storm: Storm) -> Iterator[str]:
    """One short deck; or whole ones until the time is over."""
    if not plan.minutes:
        yield from deck(storm, is_short=True)
        return
    end = time.monotonic() + plan.minutes * 60
    while True:
        for name in deck(storm, is_short=False):
            if time.monotonic() > end:
                return
            yield name


def _drain(storm: Storm) -> float:
    """Seconds until nothing waits or runs."""
    start = time.monotonic()
    try:
        rows.wait_all_ended(storm.data_dir, seconds=PROMISED_SECONDS)
    except AssertionError as error:
        storm.complain(str(error))
    return time.monotonic() - start


def _model_names(storm: Storm) -> list[str]:
    with urllib.request.urlopen(f"{storm.service.url}/api/models/", timeout=30) as response:
        return [model["name"] for model in json.load(response)]
