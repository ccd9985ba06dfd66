"""SQLite is the embedded default and PostgreSQL the production database: tests about rows hold on both."""

import os
import subprocess
import sys

import pytest

from tests.service import PROJECT_DIR

# Named, because to collect everything loads torch, a browser and an object storage: half a minute for nothing.
PLACES = ["tests/api", "tests/predictions", "tests/project", "tests/registry"]
# Where locks decide, which the two databases know differently.
RACES = [f"tests/predictions/test_{name}.py" for name in ("claim", "erasure_races", "leases", "lives", "reconcile")]


def test_races_hold_on_postgres(postgres):
    run_on(postgres, "postgres and not long and not files", RACES)


@pytest.mark.slow
def test_tests_about_rows_hold_on_postgres(postgres):
    run_on(postgres, "postgres and not long and not files", PLACES)


@pytest.mark.long
def test_long_tests_about_rows_hold_on_postgres(postgres):
    run_on(postgres, "postgres and long and not files", PLACES)


def run_on(postgres: str, chosen: str, places: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-m", chosen, "-p", "no:cacheprovider", *places]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**ours, "RECOGNIZER_TEST_DATABASE_URL": postgres}
    run = subprocess.run(
        command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, timeout=900, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


def test_no_test_about_rows_lies_elsewhere():
    marked = [path for path in PROJECT_DIR.glob("tests/*/*.py") if "mark.postgres" in path.read_text()]

    assert marked
    assert {f"tests/{path.parent.name}" for path in marked} <= set(PLACES)
