"""What was answered 2xx ends exactly once, whatever dies meanwhile."""

import random
import time
from pathlib import Path

import pytest

from tests.service import wait_until
from tests.storm import faults
from tests.storm.course import PROMISED_SECONDS, Plan, ride_out
from tests.storm.ledger import Ledger, upload_during
from tests.system import rows

pytestmark = pytest.mark.service
# A broker that hangs costs one upload the time to find that out; the others are answered at once.
HUNG_BROKER_SECONDS = 2.5


def test_nothing_is_lost_in_the_storm(prepared_data, tmp_path):
    check_storm(Plan(any_seed(), rate=8), tmp_path / "data", prepared=prepared_data)


@pytest.mark.long
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_nothing_is_lost_in_a_long_storm(prepared_data, tmp_path, database):
    check_storm(Plan(any_seed(), minutes=5, database=database, rate=16), tmp_path / "data", prepared=prepared_data)


def any_seed() -> int:
    return random.randrange(1_000_000)  # another one each time; what it was is in the table


def check_storm(plan: Plan, folder: Path, *, prepared: Path) -> None:
    outcome = ride_out(plan, folder, prepared=prepared)
    print(f"\n{outcome.text}")  # noqa: T201 - shown by pytest -s
    assert outcome.findings.is_clean, outcome.text


def test_uploads_go_on_beside_a_hung_broker(service):
    ledger = Ledger(service.data_dir)
    with faults.stopped(service.pids()["broker"]):
        upload_during(ledger, service.url, "broker hangs", numbers=range(5000, 5024), fault=lambda: None)
    # 200: a worker that is at it finds what came meanwhile without a message.
    assert {entry.reply.status for entry in ledger.entries} <= {200, 202}
    assert max(entry.reply.seconds for entry in ledger.entries) < HUNG_BROKER_SECONDS

    check_all_ended(ledger)


def test_crashed_web_process_keeps_what_it_answered(service):
    ledger = Ledger(service.data_dir)
    web = service.pids()["web"]

    def crash() -> None:
        wait_until(lambda: len(ledger.entries) > 5, seconds=10, what="The first answers")
        faults.kill(service, web)

    upload_during(ledger, service.url, "web crashes", numbers=range(5100, 5160), fault=crash)
    assert {entry.reply.status for entry in ledger.entries} <= {0, 200, 202}
    assert len(ledger.kept) < len(ledger.entries)  # some came while nobody listened

    wait_until(service.answers, seconds=30, what="A new web process")
    upload_during(ledger, service.url, "web is back", numbers=range(5160, 5170), fault=lambda: None)
    check_all_ended(ledger, unanswered=4)


def check_all_ended(ledger: Ledger, *, unanswered: int = 0) -> None:
    start = time.monotonic()
    rows.wait_all_ended(ledger.data_dir, seconds=PROMISED_SECONDS)
    print(f"\n{ledger.table()}\nAll had ended {time.monotonic() - start:.1f} s later.")  # noqa: T201 - shown by pytest -s
    ledger.check(unanswered=unanswered)
