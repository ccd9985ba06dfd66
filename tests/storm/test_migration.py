"""Tables change under a service that goes on: uploads wait a little, and none is lost."""

import pytest

from tests.service import RunningService, running_service
from tests.storm.ledger import Ledger
from tests.storm.load import steady_load
from tests.storm.test_storm import check_all_ended
from tests.system import rows
from tests.system.commands import manage

pytestmark = pytest.mark.service
COLUMN = "SELECT sql FROM sqlite_master WHERE name = 'predictions_prediction'"
COLUMN_ON_POSTGRES = (
    "SELECT 'varchar(' || character_maximum_length || ')' FROM information_schema.columns "
    "WHERE table_name = 'predictions_prediction' AND column_name = 'error_code'"
)


@pytest.mark.slow
def test_migration_under_load_loses_nothing(start_service):
    migrate_under_load(start_service(), column=COLUMN)


@pytest.mark.long
def test_migration_under_load_loses_nothing_on_postgres(postgres, tmp_path):
    with running_service(tmp_path, DATABASE_URL=postgres) as service:
        rows.are_on_postgres(service.data_dir, postgres)
        migrate_under_load(service, column=COLUMN_ON_POSTGRES, DATABASE_URL=postgres)


def migrate_under_load(service: RunningService, *, column: str, **env: str) -> None:
    ledger = Ledger(service.data_dir)
    with steady_load(service.url, ledger, models=["fruit"], rate=20):
        for target, is_there in (("0001", True), ("zero", False)):
            before = len(ledger.entries)
            manage(service, "migrate", "later", target, DJANGO_SETTINGS_MODULE="tests.storm.later.settings", **env)
            assert ("varchar(60)" in str(rows.query(service.data_dir, column))) == is_there
            assert len(ledger.entries) > before
    assert {entry.reply.status for entry in ledger.entries} <= {200, 202, 422}  # some pictures are broken
    check_all_ended(ledger)
