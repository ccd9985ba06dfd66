"""`manage.py evaluate`, `compare`, `export` and `zoo` as people call them."""

import csv
import json
import shutil
import zipfile
from io import StringIO
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from django.core.management import CommandError, call_command

from classifier_core.artifact import load_artifact
from classifier_core.classifier import load_classifier
from classifier_core.engines import EngineSpec, precision
from classifier_core.export import exported
from tests.core.tiny_training import register_tiny, write_stripes
from tests.photo_folders import write_folder
from tests.tiny_artifact import build_tiny

register_tiny()
# The zoo is trained once. A test that names no engine asks the database which was timed fastest.
pytestmark = [pytest.mark.xdist_group("judging"), pytest.mark.slow, pytest.mark.django_db]


def call(*arguments: object) -> str:
    out = StringIO()
    call_command(*map(str, arguments), "-v", "0", stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "artifact"
    build_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("second") / "artifact"
    build_tiny(folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two classes of the model, one by its Chinese name; two photos that show neither; a broken file."""
    root = write_folder(tmp_path_factory.mktemp("data") / "shelf", {"apple": 9, "香蕉": 7, "bicycle": 2})
    (root / "apple" / "broken.jpg").write_bytes(b"text")
    return root


@pytest.fixture(scope="module")
def evaluated(artifact, photos, tmp_path_factory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("evaluated") / "out"
    return out, call("evaluate", artifact, photos, "--out", out, "--engine", "openvino")


def test_evaluation_says_the_figures_and_leaves_the_files(evaluated):
    out, said = evaluated

    assert "of 16 photos are answered right (95 % interval" in said
    assert "Of 2 photos of none of the classes" in said
    assert "1 files cannot be read" in said
    assert sorted(path.name for path in out.iterdir()) == ["figures", "metrics.json", "predictions.csv", "report.html"]
    metrics = json.loads((out / "metrics.json").read_bytes())
    assert (metrics["num_images"], metrics["num_strangers"], metrics["num_unreadable"]) == (16, 2, 1)
    assert metrics["engine"] == "openvino-cpu-float32"


def test_predictions_are_those_of_serving(evaluated, artifact, photos):
    out, _ = evaluated
    with exported(load_artifact(artifact)) as ready:
        classifier = load_classifier(ready.folder, EngineSpec(), num_threads=1)
    with (out / "predictions.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))

    answers = classifier.classify_files([photos / row["path"] for row in rows], top_k=1)

    assert len(rows) == 18
    assert rows[0]["path"] == "apple/000.png"
    for row, (_, answer) in zip(rows, answers, strict=True):
        assert row["predicted"] == answer.scores[0].label
        assert float(row["score"]) == pytest.approx(answer.scores[0].score, abs=1e-5)
        assert row["known"] == str(answer.known).lower()


def test_artifact_is_left_as_it_was(evaluated, artifact):
    assert sorted(path.name for path in artifact.iterdir()) == ["artifact.json", "model.safetensors"]


def test_photos_without_folders_have_no_label(artifact, tmp_path):
    folder = write_folder(tmp_path / "data", {"x": 3}) / "x"

    said = call("evaluate", artifact, folder, "--out", tmp_path / "out", "--engine", "torch")

    assert "answered right" not in said
    assert "Of 3 photos of none of the classes" in said
    assert (
        (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8-sig").splitlines()[1].startswith("000.png,,")
    )


def test_name_that_is_a_formula_runs_in_no_spreadsheet(artifact, tmp_path):
    write_folder(tmp_path / "data", {"=HYPERLINK(0)": 1})

    call("evaluate", artifact, tmp_path / "data", "--out", tmp_path / "out", "--engine", "torch")

    assert "\n'=HYPERLINK(0)/000.png,'=HYPERLINK(0)," in (tmp_path / "out" / "predictions.csv").read_text()


def test_zip_is_evaluated(artifact, photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "shelf.zip", "w") as archive:
        for path in photos.rglob("*.png"):
            archive.write(path, path.relative_to(photos.parent))

    said = call("evaluate", artifact.parent, tmp_path / "shelf.zip", "--out", tmp_path / "out", "--engine", "torch")

    assert "of 16 photos are answered right" in said


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "folder", "words"),
    [
        ("{artifact}", "nowhere", "is not there"),
        ("{artifact}", "empty", "holds no photos"),
        ("{artifact}", "broken", "Not one photo could be read"),
        ("nothing", "empty", "neither a folder nor a model"),
        ("empty", "empty", "holds no artifact"),
    ],
)
def test_what_is_wrong_is_one_sentence(artifact, tmp_path, monkeypatch, name, folder, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "apple").mkdir(parents=True)
    (tmp_path / "broken" / "apple" / "one.jpg").write_bytes(b"text")

    with pytest.raises(CommandError, match=words):
        call("evaluate", name.format(artifact=artifact), tmp_path / folder, "--engine", "torch")


def test_two_models_are_compared_photo_by_photo(artifact, other, photos, tmp_path):
    said = call("compare", artifact, other, photos, "--out", tmp_path / "out", "--engine", "torch")

    found = json.loads((tmp_path / "out" / "comparison.json").read_bytes())
    assert found["num_images"] == 16
    assert f"Only B right: {found['gained']}; only A right: {found['lost']}" in said
    assert "<h1>Two models on shelf</h1>" in (tmp_path / "out" / "report.html").read_text()


def test_model_compared_with_itself_is_no_better(artifact, photos, tmp_path):
    said = call("compare", artifact, artifact, photos, "--out", tmp_path / "out", "--engine", "torch")

    assert "No difference" in said


def test_float_export_computes_what_the_model_does(artifact, photos, tmp_path):
    call("export", artifact, "--format", "onnx", "--data", photos, "--out", tmp_path / "out")

    certificate = json.loads((tmp_path / "out" / "certificate.json").read_bytes())
    assert certificate["parity"]["top1_agreement"] == 1
    assert certificate["parity"]["score_difference"] < 1e-4
    assert certificate["accuracy"] == certificate["accuracy_reference"]
    assert certificate["preprocessing"]["crop_size"] == 64
    assert certificate["num_photos"] == 16


def test_exported_file_takes_pixels_and_gives_calibrated_scores(artifact, photos, tmp_path):
    call("export", artifact, "--format", "onnx", "--data", photos, "--out", tmp_path / "out")
    loaded = load_artifact(artifact)
    classifier = load_classifier(artifact, EngineSpec("torch"), num_threads=1)
    labels = [label["key"] for label in json.loads((tmp_path / "out" / "labels.json").read_bytes())]
    pixels = np.stack([loaded.preprocessing.load(path.read_bytes()) for path in sorted(photos.glob("apple/*.png"))[:3]])

    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    [scores] = session.run(["scores"], {"pixels": pixels})

    for row, answer in zip(scores, classifier.classify(list(pixels), top_k=1), strict=True):
        assert labels[row.argmax()] == answer.scores[0].label
        assert row.max() == pytest.approx(answer.scores[0].score, abs=1e-4)


def test_export_overwrites_nothing(artifact, photos, tmp_path):
    with pytest.raises(CommandError, match="exists already"):
        call("export", artifact, "--format", "onnx", "--data", photos, "--out", tmp_path)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes", per_class=24)


@pytest.fixture(scope="module")
def zoo(stripes, tmp_path_factory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("zoo") / "out"
    weights = out.parent / "weights.safetensors"
    options = ["--epochs", 12, "--image-size", 32, "--batch-size", 8]
    with pytest.MonkeyPatch.context() as patch:
        # Each run's own report takes longer to draw than all the rest.
        patch.setattr("classifier_core.training.finish.write_report", lambda *_values, **_options: None)
        call("zoo", "--data", stripes, "--archs", "tiny", "--out", out.parent / "first", *options)
        weights.write_bytes((out.parent / "first" / "runs" / "tiny-scratch" / "best.safetensors").read_bytes())
        said = call(
            "zoo", "--data", stripes, "--archs", "tiny", "nonsense", "--pretrained", f"tiny={weights}", "--out", out,
            "--load", out.parent / "first" / "runs" / "tiny-scratch" / "artifact", *options,
        )  # fmt: skip
    return out, said


def test_zoo_is_one_table(zoo):
    out, said = zoo
    lines = [line for line in said.splitlines() if line.startswith("tiny")]

    # The loaded one was trained on the same split, by another run: its test photos are those of this one.
    assert sorted(line.split("  ")[0] for line in lines) == ["tiny", "tiny, artifact", "tiny, pretrained"]
    assert "There is no architecture named 'nonsense'" in said
    entries = json.loads((out / "zoo.json").read_bytes())["entries"]
    assert [len(entry["course"]) for entry in entries] == [12, 12, 0]
    for entry in entries:
        assert entry["num_parameters"] == 1_467
        assert entry["milliseconds"]["torch-cpu-float32"] > 0
        assert entry["milliseconds"]["openvino-cpu-float32"] > 0


def test_zoo_shows_pretrained_against_scratch(zoo):
    page = (zoo[0] / "report.html").read_text()

    assert "Pretrained against scratch" in page
    assert page.count("<svg") == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [([], "Name networks"), (["--archs", "tiny", "--pretrained", "other=x"], "--archs does not"),
     (["--archs", "tiny", "--pretrained", "tiny"], "ARCH=FILE"), (["--archs", "nonsense"], "no architecture")],
)  # fmt: skip
def test_zoo_refuses_in_words(stripes, tmp_path, options, words):
    with pytest.raises(CommandError, match=words):
        call("zoo", "--data", stripes, "--out", tmp_path / "out", *options)


def test_zoo_says_which_figures_cannot_be_compared(zoo, stripes, tmp_path):
    run = zoo[0].parent / "first" / "runs" / "tiny-scratch"

    said = call("zoo", "--data", stripes, "--split-seed", 5, "--out", tmp_path / "out", "--load", run, run / "artifact")

    assert "was judged by other photos" in said
    assert "tiny, artifact (may have learned these photos)" in said


def test_zoo_that_is_stopped_trains_no_other(stripes, tmp_path, monkeypatch):
    def stop(*_values: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("classifier_core.training.runs.fit", stop)
    with pytest.raises(CommandError, match="Stopped"):
        call("zoo", "--data", stripes, "--archs", "tiny", "tiny_convolutional", "--out", tmp_path / "out")
    assert [folder.name for folder in (tmp_path / "out" / "runs").iterdir()] == ["tiny-scratch"]


@pytest.fixture(scope="module")
def run(zoo) -> Path:
    return zoo[0].parent / "first" / "runs" / "tiny-scratch"


def test_split_judges_by_its_test_photos_only(run, stripes, tmp_path):
    call("evaluate", run, stripes, "--split", run, "--out", tmp_path / "out")

    ours = json.loads((tmp_path / "out" / "metrics.json").read_bytes())
    theirs = json.loads((run / "results.json").read_bytes())["parts"]["test"]
    assert (ours["num_images"], ours["accuracy"]) == (theirs["num_images"], theirs["accuracy"])
    call("compare", run, run, stripes, "--split", run, "--out", tmp_path / "both")
    assert json.loads((tmp_path / "both" / "comparison.json").read_bytes())["num_images"] == theirs["num_images"]


def test_split_that_the_model_was_not_made_with_is_told(run, stripes, tmp_path):
    call_command("dataset", "split", str(stripes), str(tmp_path / "other"), "--seed", "5", "--no-features")

    own = call("evaluate", run, stripes, "--split", run, "--out", tmp_path / "own-test")
    other = call("evaluate", run, stripes, "--split", tmp_path / "other", "--out", tmp_path / "other-test")

    assert "may have learned these photos" not in own
    assert "may have learned these photos" in other


def test_split_of_a_zip(run, stripes, tmp_path):
    shutil.make_archive(str(tmp_path / "stripes"), "zip", stripes.parent, stripes.name)

    call("evaluate", run, tmp_path / "stripes.zip", "--split", run, "--out", tmp_path / "out")

    assert json.loads((tmp_path / "out" / "metrics.json").read_bytes())["num_images"] < 20


def test_split_without_test_photos_is_told(run, stripes, tmp_path):
    for name in ("train", "val"):
        (tmp_path / f"{name}.txt").write_bytes((run / f"{name}.txt").read_bytes())
    (tmp_path / "test.txt").touch()

    with pytest.raises(CommandError, match="lists no photos"):
        call("evaluate", run, stripes, "--split", tmp_path, "--out", tmp_path / "out")


def test_int8_with_a_split_calibrates_on_its_training_photos(run, stripes, tmp_path):
    call("export", run, "--format", "int8", "--data", stripes, "--split", run, "--out", tmp_path / "int8", "--force")

    certificate = json.loads((tmp_path / "int8" / "certificate.json").read_bytes())
    parts = json.loads((run / "results.json").read_bytes())["parts"]
    assert certificate["num_photos"] == parts["test"]["num_images"]
    assert certificate["made_with"]["num_calibration_photos"] == parts["train"]["num_images"]


def test_int8_of_a_trained_network_keeps_its_accuracy(run, stripes, tmp_path):
    call("export", run, "--format", "int8", "--data", stripes, "--out", tmp_path / "int8", "--force")
    call("export", run, "--format", "onnx", "--data", stripes, "--out", tmp_path / "onnx")

    certificate = json.loads((tmp_path / "int8" / "certificate.json").read_bytes())
    assert certificate["accuracy"] >= certificate["accuracy_reference"] - 0.06
    assert certificate["made_with"]["num_calibration_photos"] == 36
    assert certificate["num_photos"] == 36


def test_int8_that_loses_accuracy_is_refused(run, stripes, tmp_path, monkeypatch):
    monkeypatch.setattr("classifier_core.portable.MAX_LOSS", -1.0)  # as if any were too much

    with pytest.raises(CommandError, match="is lost"):
        call("export", run, "--format", "int8", "--data", stripes, "--out", tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


def test_int8_needs_photos_to_calibrate_on(artifact, photos, tmp_path):
    with pytest.raises(CommandError, match="too few to calibrate"):
        call("export", artifact, "--format", "int8", "--data", photos, "--out", tmp_path / "int8")


def test_photos_say_whether_a_precision_may_serve(artifact, photos, tmp_path, monkeypatch):
    folder = shutil.copytree(artifact, tmp_path / "model")
    monkeypatch.setattr(precision, "fast_specs", lambda: [EngineSpec("openvino")])
    monkeypatch.setattr(precision, "MIN_PICTURES", 48)

    said = call("certify", folder, "--data", photos)

    assert "100.00% and known 100.00% the same as float32 on 48 pictures" in said  # 16 that can be read, three times
    assert said.strip().endswith("it may serve.")
    assert precision.stored_parity(load_artifact(folder), EngineSpec("openvino")).num_pictures == 48


def test_machine_of_one_precision_certifies_nothing(artifact, photos, monkeypatch):
    monkeypatch.setattr(precision, "fast_specs", list)

    with pytest.raises(CommandError, match="float32 only"):
        call("certify", artifact, "--data", photos)
