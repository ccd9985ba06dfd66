"""The bench of a full queue: its table, and that it runs against a real service."""

import subprocess
import sys

import pytest

from bench.markdown import table
from bench.overload import HEADINGS, Seen, line
from tests.service import PROJECT_DIR


def test_answers_and_refusals_are_told_apart():
    seen = [Seen(200, 0.4, 1.0), Seen(200, 0.6, 1.1), Seen(503, 0.01, 1.2, retry_after=2.0), Seen(202, 0.1, 1.3)]

    cells = line(seen, 48, 2.0, True)

    assert cells == ["48", "waits as asked", "1.0", "500", "590", "0.5", "10", "10", "1", "0"]
    assert table(HEADINGS, [cells]).count("\n") == 2
    assert line([], 1, 2.0, False)[2:] == ["0.0", "", "", "0.0", "", "", "0", "0"]


@pytest.mark.slow
def test_the_bench_runs():
    asked = ["--depth", "2", "--clients", "12", "--seconds", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.overload", *asked], check=False, cwd=PROJECT_DIR, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    lines = [row.strip("| ").split(" | ") for row in done.stdout.splitlines()[2:]]
    assert [row[0] for row in lines] == ["2", "12", "12"]
    assert all(float(row[2]) > 0 for row in lines)
    assert float(lines[2][5]) > 0
