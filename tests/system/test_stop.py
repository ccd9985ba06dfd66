"""Ctrl-C in the middle of the work loses nothing."""

import pytest

from tests.service import running_service
from tests.storm import faults
from tests.storm.ledger import Ledger, upload_during
from tests.system import rows

pytestmark = pytest.mark.service
NUM_UPLOADS = 60


@pytest.mark.slow
def test_stop_under_load_loses_nothing(start_service):
    service = start_service()
    ledger = Ledger(service.data_dir)

    def stop() -> None:
        assert faults.wait_busy(service.data_dir)
        assert service.stop() == 0

    upload_during(ledger, service.url, "stopped", numbers=range(NUM_UPLOADS), fault=stop)

    assert ledger.kept
    assert not rows.count_status(service.data_dir, "running")  # what ran was finished
    with running_service(service.data_dir):
        rows.wait_all_ended(service.data_dir, seconds=60)
    ledger.check(unanswered=4)
    print(f"\n{ledger.table()}")  # noqa: T201 - shown by pytest -s
