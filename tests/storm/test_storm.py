"""What was answered 2xx ends exactly once, whatever dies meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.service import RunningService, wait_until
from tests.storm import faults
from tests.storm.ledger import Ledger, upload_during
from tests.system import rows

pytestmark = pytest.mark.service
PROMISED_SECONDS = 120  # from everything being up again to the end of every prediction
# A broker that hangs costs one upload the time to find that out; the others are answered at once.
HUNG_BROKER_SECONDS = 2.5


@dataclass(frozen=True)
class Fault:
    """One blow: who is hit, how, and which child of the supervisor comes back."""

    what: str
    victim: Callable[[RunningService], int]
    hit: Callable[[RunningService, int], None]
    child: str = ""


WORKER = Fault("worker killed", lambda service: service.pids()["worker"], faults.kill, "worker")
POOL = Fault("pool child killed", faults.pool_child, faults.kill)
BROKER = Fault("broker emptied", lambda service: service.pids()["broker"], faults.kill_and_empty, "broker")
STORM = [WORKER, BROKER, WORKER, POOL, WORKER, BROKER, WORKER, WORKER]


def test_nothing_is_lost_in_the_storm(start_service):
    ride_out(start_service(), STORM, num_uploads=200)


@pytest.mark.long
def test_nothing_is_lost_in_a_long_storm(start_service):
    ride_out(start_service(), STORM * 6, num_uploads=2000)


def test_uploads_go_on_beside_a_hung_broker(service):
    ledger = Ledger(service.data_dir)
    with faults.stopped(service.pids()["broker"]):
        upload_during(ledger, service.url, "broker hangs", numbers=range(5000, 5024), fault=lambda: None)
    assert {entry.reply.status for entry in ledger.entries} == {202}
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


def ride_out(service: RunningService, storm: list[Fault], *, num_uploads: int) -> None:
    ledger = Ledger(service.data_dir)
    share = num_uploads // (len(storm) + 1)
    for number, fault in enumerate(storm):
        strike(service, ledger, fault, numbers=range(number * share, (number + 1) * share))
    calm = range(len(storm) * share, num_uploads)
    upload_during(ledger, service.url, "calm", numbers=calm, fault=lambda: None)

    check_all_ended(ledger)
    assert len(ledger.kept) == num_uploads, [entry.reply for entry in ledger.entries if not entry.reply.is_kept]


def strike(service: RunningService, ledger: Ledger, fault: Fault, *, numbers: range) -> None:
    """Upload while the fault happens at the worst moment, then wait until its victim works again."""
    phase = f"{numbers.start:>4} {fault.what}"
    victim = fault.victim(service)
    start = time.monotonic()

    def hit() -> None:
        is_busy = faults.wait_busy(service.data_dir)
        fault.hit(service, victim)
        ledger.remarks[phase] = "while it was recognising" if is_busy else "while nothing ran"
        if fault.child:
            faults.wait_restarted(service, fault.child, victim)

    upload_during(ledger, service.url, phase, numbers=numbers, fault=hit)
    # The next fault must find a worker at work. What the victim held comes back when its lease runs out.
    wait_until(
        lambda: not rows.count_status(service.data_dir, "pending"), seconds=PROMISED_SECONDS, what="An empty queue"
    )
    ledger.remarks[phase] += f"; queue empty {time.monotonic() - start:.1f} s after the first upload"
