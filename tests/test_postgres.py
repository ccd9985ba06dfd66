"""SQLite is the embedded default and PostgreSQL the production database: tests about rows hold on both."""

import os
import subprocess
import sys

from tests.service import PROJECT_DIR


def test_tests_about_rows_hold_on_postgres(postgres):
    command = [sys.executable, "-m", "pytest", "-q", "-m", "postgres", "-p", "no:cacheprovider"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**ours, "RECOGNIZER_TEST_DATABASE_URL": postgres}
    run = subprocess.run(
        command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, timeout=300, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
