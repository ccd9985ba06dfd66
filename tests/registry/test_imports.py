"""An artifact becomes a version: once, whole, or not at all."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from classifier_core.artifact import load_artifact
from classifier_core.engines import EngineSpec, precision
from classifier_core.engines.parity import Parity
from classifier_core.errors import ArtifactInvalid, ClassifierError, EngineFailed
from recognizer.registry import artifact_store
from recognizer.registry.imports import import_artifact
from recognizer.registry.models import Evaluation, Label, ModelVersion, Promotion, RegisteredModel
from recognizer.registry.promotion import promote
from recognizer.registry.serving import serving_version
from tests.recognition import add_version
from tests.tiny_artifact import NAMES, build_tiny

# They load torch, which takes seconds and 500 MB: all in one process.
pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("torch")]


@pytest.fixture
def source(tiny_folder: Path, tmp_path: Path) -> Path:
    """The artifact as somebody hands it over: the two files, no exported graph."""
    folder = tmp_path / "handed over"
    folder.mkdir()
    for name in ("artifact.json", "model.safetensors"):
        shutil.copy(tiny_folder / name, folder)
    return folder


@pytest.fixture
def installed(source: Path, tiny_folder: Path, media: Path) -> Path:
    """The same, and its files lie in the store from an earlier import: nothing is exported, which takes seconds."""
    shutil.copytree(tiny_folder, artifact_store.folder_of(tiny_folder.name))
    return source


def nothing_is_left(media: Path) -> bool:
    left = list((media / "artifacts").glob("*")) if (media / "artifacts").exists() else []
    return not left and not ModelVersion.objects.exists() and not RegisteredModel.objects.exists()


def test_import_makes_rows_and_a_folder(source: Path, fresh_process: None):
    version, is_new = import_artifact(source, model_name="fruit", description="Fruits.")

    assert is_new
    assert version.number == 1
    assert version.artifact_sha256 == load_artifact(source).sha256
    assert {label.key: label.names for label in Label.objects.all()} == NAMES
    assert version.parity["batch of 8"]["top1_agreement"] == 1
    assert "Imported" in version.skipped_checks
    assert version.model.description == "Fruits."
    assert not Promotion.objects.exists()
    assert artifact_store.folder_of(version.artifact_sha256).stat().st_mode & 0o055 == 0o055


def test_imported_version_serves_once_promoted(installed: Path, fresh_process: None):
    call_command("models", "import", str(installed), "--model", "fruit", "--promote", stdout=StringIO())

    model = RegisteredModel.objects.get()
    assert serving_version(model.pk).row == model.desired_version()


def test_import_twice_is_one_version(installed: Path):
    first, _ = import_artifact(installed, model_name="fruit")
    second, is_new = import_artifact(installed, model_name="fruit")

    assert (second, is_new) == (first, False)
    assert ModelVersion.objects.count() == 1


@pytest.mark.slow
@pytest.mark.files
@pytest.mark.parametrize("damage", ["no engines", "changed graph", "no folder"])
def test_import_again_repairs(installed: Path, fresh_process: None, damage: str):
    version, _ = import_artifact(installed, model_name="fruit")
    promote(version, by=None)
    folder = artifact_store.folder_of(version.artifact_sha256)
    if damage == "no folder":
        shutil.rmtree(folder)
    elif damage == "no engines":
        shutil.rmtree(folder / "engines")
    else:
        (folder / "engines/onnx/model.onnx").write_bytes(b"?")
    with pytest.raises(ClassifierError):
        serving_version(version.model_id)

    assert import_artifact(installed, model_name="fruit") == (version, False)

    assert serving_version(version.model_id).row == version


@pytest.mark.files
def test_repair_that_fails_leaves_what_serves(installed: Path, monkeypatch: pytest.MonkeyPatch):
    version, _ = import_artifact(installed, model_name="fruit")

    def short_of_memory(*_: object, **__: object) -> None:
        raise EngineFailed("out of memory")

    monkeypatch.setattr("recognizer.registry.imports._derive", short_of_memory)
    with pytest.raises(EngineFailed):
        import_artifact(installed, model_name="fruit")

    assert load_artifact(artifact_store.folder_of(version.artifact_sha256), sha256=version.artifact_sha256)


@pytest.mark.slow
@pytest.mark.files
def test_new_runtime_is_measured_at_the_next_import(installed: Path, monkeypatch: pytest.MonkeyPatch):
    # float32 stands for a fast precision, so that every CPU can run it.
    spec = EngineSpec("openvino", "cpu", "float32")
    monkeypatch.setattr(precision, "fast_specs", lambda: [spec])
    version, _ = import_artifact(installed, model_name="fruit")
    assert version.parity[str(spec)]["num_pictures"] == precision.MIN_PICTURES
    [measurement] = artifact_store.folder_of(version.artifact_sha256).glob("engines/parity-*.json")
    measured = measurement.read_text()
    import_artifact(installed, model_name="fruit")
    assert measurement.read_text() == measured
    measurement.write_text(measured.replace('"runtime": "openvino ', '"runtime": "openvino 1.'))

    import_artifact(installed, model_name="fruit")

    assert measurement.read_text() == measured


def test_figures_of_photos_come_with_the_artifact(installed: Path, monkeypatch: pytest.MonkeyPatch):
    spec = EngineSpec("openvino")
    monkeypatch.setattr(precision, "fast_specs", lambda: [spec])
    monkeypatch.setattr(precision, "measure_parity", pytest.fail)
    precision.store_parity(load_artifact(installed), spec, Parity(700, 0.99, 0.4, 0.1, 0.1, 0.98, 0.9, 0.88))

    version, _ = import_artifact(installed, model_name="fruit")

    kept = precision.stored_parity(artifact_store.fetch(version.artifact_sha256), spec)
    assert kept == Parity(700, 0.99, 0.4, 0.1, 0.1, 0.98, 0.9, 0.88)
    assert version.parity[str(spec)]["accuracy"] == 0.9


def test_figures_of_photos_measured_here_stay(installed: Path, monkeypatch: pytest.MonkeyPatch):
    spec = EngineSpec("openvino")
    monkeypatch.setattr(precision, "fast_specs", lambda: [spec])
    ours, theirs = (Parity(700, 0.9, 0.4, 0.1, 0.1, 0.98, accuracy, 0.88) for accuracy in (0.7, 0.9))
    precision.store_parity(artifact_store.fetch(load_artifact(installed).sha256), spec, ours)
    precision.store_parity(load_artifact(installed), spec, theirs)

    version, _ = import_artifact(installed, model_name="fruit")

    assert precision.stored_parity(artifact_store.fetch(version.artifact_sha256), spec) == ours


def test_crops_of_another_machine_say_nothing_here(installed: Path, monkeypatch: pytest.MonkeyPatch):
    spec, measured = EngineSpec("openvino"), Parity(500, 0.5, 0.4, 0.1, 0.1)
    monkeypatch.setattr(precision, "fast_specs", lambda: [spec])
    monkeypatch.setattr(precision, "measure_parity", lambda *_, **__: measured)
    precision.store_parity(load_artifact(installed), spec, Parity(500, 1.0, 0.0, 0.0, 0.0))

    version, _ = import_artifact(installed, model_name="fruit")

    assert version.parity[str(spec)]["top1_agreement"] == 0.5


def test_same_artifact_may_be_two_models(installed: Path):
    first, _ = import_artifact(installed, model_name="fruit")
    before = artifact_store.folder_of(first.artifact_sha256).stat().st_ino
    second, is_new = import_artifact(installed, model_name="shop")

    assert is_new
    assert second.model.name == "shop"
    # A worker may be reading the folder: it is not exchanged under its hands.
    assert artifact_store.folder_of(first.artifact_sha256).stat().st_ino == before


@pytest.mark.files
@pytest.mark.parametrize("file", ["artifact.json", "model.safetensors"])
def test_missing_file_leaves_nothing(source: Path, media: Path, file: str):
    (source / file).unlink()

    with pytest.raises(ArtifactInvalid, match=file.replace(".", r"\.")):
        import_artifact(source, model_name="fruit")
    assert nothing_is_left(media)


@pytest.mark.files
def test_tampered_weights_leave_nothing(source: Path, media: Path):
    raw = bytearray((source / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (source / "model.safetensors").write_bytes(raw)

    with pytest.raises(ArtifactInvalid, match="hash differs"):
        import_artifact(source, model_name="fruit")
    assert nothing_is_left(media)


@pytest.mark.files
def test_weights_of_another_shape_leave_nothing(source: Path, media: Path):
    manifest = json.loads((source / "artifact.json").read_text())
    (source / "artifact.json").write_text(json.dumps(manifest | {"architecture": "resnet18"}))

    with pytest.raises(ArtifactInvalid):
        import_artifact(source, model_name="fruit")
    assert nothing_is_left(media)


def test_labels_of_all_versions_are_kept(installed: Path, tmp_path: Path):
    model = RegisteredModel.objects.create(name="fruit")
    Label.objects.create(model=model, key="durian", names={"en": "Durian"})
    Label.objects.create(model=model, key="apple", names={"en": "Our apple"})
    add_version(model, "0" * 64)

    version, _ = import_artifact(installed, model_name="fruit")

    assert version.number == 2
    assert set(model.labels.values_list("key", flat=True)) == {*NAMES, "durian"}
    assert model.labels.get(key="apple").names == {"en": "Our apple"}  # what people changed here stays


def test_figures_in_the_artifact_become_rows(tmp_path: Path):
    figures = {"dataset": "shop photos", "num_images": 120, "accuracy": 0.9, "dataset_sha256": "a" * 64}
    build_tiny(tmp_path / "new", evaluations=[figures])

    version, _ = import_artifact(tmp_path / "new", model_name="fruit")

    row = Evaluation.objects.get(version=version)
    assert (row.dataset, row.num_images, row.accuracy) == ("shop photos", 120, 0.9)
    assert row.source == Evaluation.CLAIMED


def test_senseless_figures_leave_nothing(source: Path, media: Path):
    manifest = json.loads((source / "artifact.json").read_text())
    manifest["provenance"]["evaluations"] = [{"dataset": "shop", "num_images": 1, "accuracy": 7.0}]
    (source / "artifact.json").write_text(json.dumps(manifest))

    with pytest.raises(ArtifactInvalid, match="accuracy is senseless"):
        import_artifact(source, model_name="fruit")
    assert nothing_is_left(media)


@pytest.mark.parametrize("name", ["a/b", "a b", "", "x" * 61])
def test_senseless_model_name_is_refused(source: Path, media: Path, name: str):
    with pytest.raises(CommandError):
        call_command("models", "import", str(source), f"--model={name}", stdout=StringIO())
    assert nothing_is_left(media)


def test_command_says_what_is_wrong(source: Path):
    (source / "artifact.json").write_text("{}")

    with pytest.raises(CommandError, match="format"):
        call_command("models", "import", str(source), "--model", "fruit", stdout=StringIO())
