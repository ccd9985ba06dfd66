"""The real service times what it serves, by itself."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.service import PROJECT_DIR, running_service, wait_until

pytestmark = [pytest.mark.service, pytest.mark.slow]
# The machine that runs tests is never quiet, and here it need not be: what the figures say does not matter.
NEVER_DISTURBED = "import classifier_core.engines.timing as timing; timing.MAX_OTHERS = 1.0"
TIMED = "SELECT count(*) FROM registry_enginetiming WHERE images_per_second > 0 AND image_ms > 0"


def num_timed(data_dir: Path) -> int:
    with closing(sqlite3.connect(f"file:{data_dir / 'db.sqlite3'}?mode=ro", uri=True)) as database:
        return int(database.execute(TIMED).fetchone()[0])


def test_table_of_a_starter_model_appears(prepared_data: Path, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(NEVER_DISTURBED)
    wishes = {"RECOGNIZER_TIME_ENGINES": "yes", "RECOGNIZER_ENGINE": "openvino"}
    wishes["PYTHONPATH"] = f"{tmp_path}:{PROJECT_DIR}"

    with running_service(tmp_path / "data", prepared=prepared_data, **wishes) as service:
        wait_until(lambda: num_timed(service.data_dir) >= 2, seconds=120, what="A table of timings")
