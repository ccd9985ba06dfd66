"""The bench of pages that grow with the history: its made-up rows, its table, and that it runs."""

import subprocess
import sys

import pytest
from django.db.models import Count

from bench.copies import copy_rows
from bench.fill import fill
from bench.growth import parse, slow_pages, to_markdown
from recognizer.predictions.models import Feedback, Prediction, Review, UploadedImage
from tests.service import PROJECT_DIR


@pytest.mark.django_db
def test_copies_are_whole_and_point_at_each_other():
    fill(60, num_labels=20)
    made = [rows_of(model) for model in (UploadedImage, Prediction, Review, Feedback)]

    copy_rows(19)

    assert made[2] > 0
    assert [rows_of(model) for model in (UploadedImage, Prediction, Review, Feedback)] == [
        20 * number for number in made
    ]
    assert Prediction.objects.filter(image=None).count() == 20 * (made[1] - made[0])
    assert set(Review.objects.values_list("prediction").annotate(number=Count("pk")).values_list("number")) == {(1,)}
    assert Prediction.objects.values("created_at").distinct().count() == 20 * made[1]


def rows_of(model) -> int:
    return model.objects.count()


def test_the_table_marks_what_is_over_the_limit():
    figures = {
        "sqlite 1,000": {"history": [99.6, 20], "desk": [10, 5]},
        "sqlite 9": {"history": [301, 30], "desk": [300, 1]},
    }

    assert to_markdown(figures).splitlines()[2:] == [
        "| history | 100 (20) | **301** (30) |",
        "| desk | 10 (5) | 300 (1) |",
    ]
    assert slow_pages(figures) == ["sqlite 9: history"]


def test_one_request_has_no_percentile(capsys):
    with pytest.raises(SystemExit):
        parse(["--repeats", "1"])

    assert "2 requests or more" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_bench_runs(database: str):
    asked = ["--predictions", "2000", "--databases", database, "--repeats", "2", "--only", "history"]
    done = bench(*asked)

    assert done.stdout.startswith(f"| p95 ms (processor ms) | {database} 2,000 |"), done.stderr
    assert "| history: newest | " in done.stdout


@pytest.mark.slow
def test_sizes_share_the_names_of_their_pages():
    """From the smallest one of the manual, whose made-up labels are fewer."""
    done = bench("--predictions", "1000", "2000", "--databases", "sqlite", "--repeats", "2", "--only", "desk")

    assert done.stdout.startswith("| p95 ms (processor ms) | sqlite 1,000 | sqlite 2,000 |"), done.stderr
    assert "| desk: label, rare | " in done.stdout


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bench.growth", *arguments]
    return subprocess.run(command, check=False, cwd=PROJECT_DIR, capture_output=True, text=True)
