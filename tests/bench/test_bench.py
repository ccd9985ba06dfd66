"""`make bench` from the outside: every figure is there. How fast is not asserted: other tests run beside it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bench.limit import parse_spec
from bench.photos import SIZES, write_photo
from classifier_core.engines import EngineSpec
from tests.service import PROJECT_DIR

CLIENTS = [1, 3]


@pytest.mark.service
def test_every_figure_is_measured_and_printed(prepared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_data, tmp_path / "data")

    text, figures = quick_bench(tmp_path)

    (table,) = figures["tables"]
    assert (table["model"], table["photo"]) == ("imagenet", "500x375")
    assert table["limit_per_second"] >= max(limit["lanes"] for limit in table["limits"]) / 2 > 0
    assert [row["num_clients"] for row in table["rows"]] == CLIENTS
    for row in table["rows"]:
        assert row["load"]["num_answers"] > 0
        assert row["load"]["num_refused"] == row["load"]["num_lost"] == 0
        assert row["ratio"] == pytest.approx(row["load"]["per_second"] / table["limit_per_second"], rel=0.01)
        assert f"{row['ratio']:.2f}" in text
    assert {process["name"] for process in figures["memory_mib"]} >= {
        "broker",
        "worker",
        "worker, child",
        "beat",
        "web",
    }
    assert all(process["rss"] > 1 for process in figures["memory_mib"])


def quick_bench(folder: Path) -> tuple[str, dict]:
    command = [
        sys.executable,
        "-m",
        "bench",
        "--quick",
        "--data-dir",
        folder / "data",
        "--json",
        folder / "figures.json",
    ]
    chosen = ["--models", "imagenet", "--photos", "500x375", "--clients", *map(str, CLIENTS)]
    done = subprocess.run(
        [*command, *chosen], check=False, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "figures.json").read_text())


def test_photos_are_what_their_names_say(tmp_path: Path) -> None:
    for size in SIZES:
        width, height = read_size(write_photo(tmp_path, size))
        assert size == f"{width}x{height}"


def test_a_photo_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    first = write_photo(tmp_path, "500x375").read_bytes()

    assert write_photo(tmp_path, "500x375").read_bytes() == first


def read_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_spec_is_read_as_it_prints() -> None:
    spec = EngineSpec("openvino", "cpu", "bfloat16")

    assert parse_spec(str(spec)) == spec
    with pytest.raises(KeyError):
        parse_spec("openvino-cpu-float8")
