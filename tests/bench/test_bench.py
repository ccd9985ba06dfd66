"""`make bench` from the outside: every figure is there. How fast is not asserted: other tests run beside it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from openvino import Core
from PIL import Image

from bench.__main__ import judge
from bench.client import Load
from bench.limit import Limit, export_onnx, parse_spec
from bench.measure import Row, Table, added_ms
from bench.photos import SIZES, write_photo
from bench.report import to_text
from bench.service import START_SECONDS
from bench.start import seconds_to_answer
from classifier_core.artifact import load_artifact
from classifier_core.engines import EngineSpec, load_engine
from tests.service import PROJECT_DIR

CLIENTS = [2]


@pytest.mark.slow
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


def table(ratio: float, added: float | None = 9.0) -> Table:
    load = Load(10 * ratio, 1, 1, 1, 10, 0, 0, 0, 10, 0.0)
    return Table(
        model="fruit",
        architecture="mobilenet_v2",
        spec="openvino-cpu-float32",
        photo="500x375",
        photo_kilobytes=73,
        limits=[Limit(10, 10, 100, 100)] * 2,
        rows=[Row(1, load, 0.1, 50, {}), Row(8, load, ratio, added, {})],  # one client has no floor
    )


def test_a_figure_under_its_floor_ends_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge([table(0.6)], is_quick=False) == 0
    assert judge([table(0.45, added=6.41)], is_quick=False) == 0
    assert judge([table(0.59)], is_quick=False) == 1
    assert capsys.readouterr().err == (
        "fruit, 500x375, 8 clients: 0.590 of the limit, 9.00 ms added; the floor is 0.60 or 6.41 ms.\n"
    )
    assert judge([table(0, added=None)], is_quick=False) == 1
    assert "NO" in to_text([table(0, added=None)], [])


def test_what_an_answer_adds_is_time_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})

    assert added_ms(0.6 * 208, 208) == 6.41
    assert added_ms(208, 208) == 0
    assert added_ms(0, 208) is None


def test_a_quick_look_is_not_judged() -> None:
    assert judge([table(0.1)], is_quick=True) == 0


@pytest.mark.slow
@pytest.mark.service
def test_the_graph_for_other_programs_is_the_served_one(prepared_data: Path, tmp_path: Path) -> None:
    artifact = load_artifact(next((prepared_data / "media" / "artifacts").iterdir()))
    size = artifact.preprocessing.crop_size
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)

    export_onnx(artifact.folder, tmp_path / "model.onnx")

    assert [output.name for output in onnx.load(tmp_path / "model.onnx").graph.output] == ["logits", "features"]
    mean, std = (255 * np.asarray(values) for values in (artifact.preprocessing.mean, artifact.preprocessing.std))
    images = ((pixels - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    compiled = Core().compile_model(tmp_path / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    served = load_engine(artifact, EngineSpec(), num_threads=1).run(pixels)
    np.testing.assert_allclose(compiled(images)["logits"], served.logits, atol=1e-3)


@pytest.mark.slow
@pytest.mark.service
def test_the_first_answer_of_a_start_is_timed(prepared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_data, tmp_path / "data")

    assert 0 < seconds_to_answer(tmp_path / "data", write_photo(tmp_path, "500x375").read_bytes()) < START_SECONDS
