import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load, save

from classifier_core.artifact import Artifact, Calibration, LabelEntry, Thresholds, load_artifact, save_artifact
from classifier_core.errors import ArtifactInvalid
from classifier_core.preprocessing import Preprocessing

STATE = {
    "features.weight": np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4),
    "features.running_var": np.array([1e-9, 1e9, 2], np.float32),
    "features.num_batches_tracked": np.array(7),
    "head.weight": np.ones((2, 3), np.float32),
}
PARTS = {
    "state": STATE,
    "architecture": "tiny",
    "head": "head",
    "labels": [LabelEntry("cat", {"en": "Cat", "zh": "猫"}), LabelEntry("dog", {"en": "Dog"})],
    "preprocessing": Preprocessing(),
    "provenance": {"data": "none"},
}


@pytest.fixture
def artifact(tmp_path) -> Artifact:
    return save_artifact(
        tmp_path / "model", **PARTS, calibration=Calibration(1.5), thresholds=Thresholds(known_score=0.4)
    )


def change(artifact: Artifact, **values: object) -> None:
    """Change entries of artifact.json; None removes one."""
    path = artifact.folder / "artifact.json"
    manifest = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


def rewrite_weights(artifact: Artifact, state: dict[str, np.ndarray]) -> None:
    """Other weights, with the hash in artifact.json made right."""
    raw = save(state)
    (artifact.folder / "model.safetensors").write_bytes(raw)
    change(artifact, weights_sha256=hashlib.sha256(raw).hexdigest())


def invalid(artifact: Artifact) -> str:
    with pytest.raises(ArtifactInvalid) as caught:
        load_artifact(artifact.folder)
    return str(caught.value)


def test_saved_equals_loaded(artifact):
    loaded = load_artifact(artifact.folder)

    assert loaded == artifact
    assert loaded.labels[0] == LabelEntry("cat", {"en": "Cat", "zh": "猫"})
    assert (loaded.num_classes, loaded.in_channels, loaded.calibration) == (2, 3, Calibration(1.5))
    for name, tensor in loaded.load_state().items():
        assert tensor.shape == STATE[name].shape
        assert np.array_equal(tensor, STATE[name])


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_identity_can_be_checked_by_hand(artifact):
    lines = subprocess.check_output(["sha256sum", "artifact.json", "model.safetensors"], cwd=artifact.folder)

    assert hashlib.sha256(lines).hexdigest() == artifact.sha256


def test_same_parts_give_the_same_identity(tmp_path):
    first, second = (save_artifact(tmp_path / name, **PARTS) for name in ("a", "b"))

    assert first.sha256 == second.sha256


def test_half_precision_spares_the_vectors(tmp_path):
    artifact = save_artifact(tmp_path / "half", **PARTS, half=True)

    stored = load((artifact.folder / "model.safetensors").read_bytes())
    assert {name: str(tensor.dtype) for name, tensor in stored.items()} == {
        "features.weight": "float16", "features.running_var": "float32", "features.num_batches_tracked": "int64",
        "head.weight": "float16",
    }  # fmt: skip
    state = artifact.load_state()
    assert state["features.weight"].dtype == np.float32
    assert np.array_equal(state["features.running_var"], STATE["features.running_var"])


def test_never_overwritten(artifact):
    with pytest.raises(FileExistsError, match="never overwritten"):
        save_artifact(artifact.folder, **PARTS)


def test_refused_artifact_leaves_nothing(tmp_path):
    with pytest.raises(ArtifactInvalid):
        save_artifact(tmp_path / "model", **PARTS | {"head": "elsewhere"})

    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_artifact(tmp_path / "model", **PARTS)

    assert not list(tmp_path.iterdir())


def test_folder_can_be_read_by_others(artifact):
    assert artifact.folder.stat().st_mode & 0o777 == 0o755


def test_expected_identity_is_compared(artifact):
    assert load_artifact(artifact.folder, sha256=artifact.sha256)
    with pytest.raises(ArtifactInvalid, match="not 0000"):
        load_artifact(artifact.folder, sha256="0000")


def test_missing_files_are_named(artifact, tmp_path):
    (artifact.folder / "model.safetensors").unlink()

    assert "model.safetensors" in invalid(artifact)
    with pytest.raises(ArtifactInvalid, match=r"artifact\.json"):
        load_artifact(tmp_path / "nowhere")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_format_number_is_refused(artifact, version):
    change(artifact, format=version)

    assert "format" in invalid(artifact)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1, "format": 1}', "\udcff"])
def test_broken_manifest_is_refused(artifact, text):
    (artifact.folder / "artifact.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    assert "artifact.json" in invalid(artifact) or "format" in invalid(artifact)


def test_flipped_weight_bit_is_found(artifact):
    path = artifact.folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)

    assert "hash differs" in invalid(artifact)


@pytest.mark.parametrize("keys", [["cat", "cat"], ["cat"], ["cat", "dog", "cow"], ["cat", ""], ["cat", "a\nb"]])
def test_wrong_labels_are_refused(artifact, keys):
    change(artifact, labels=[{"key": key, "names": {}} for key in keys])

    assert "label" in invalid(artifact)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("labels", None), ("preprocessing", None), ("preprocessing", {"method": "resize_crop"}), ("provenance", None),
        ("calibration", {"temperature": 0}), ("calibration", {"temprature": 1}), ("thresholds", {"known_score": 1.5}),
        ("num_classes", 3), ("in_channels", 1), ("head", "features"), ("head", "nowhere"), ("architecture", None),
        ("labels", [1, 2]), ("labels", [{"key": "a", "names": 3}, {"key": "b", "names": {}}]), ("weights_sha256", None),
    ],
)  # fmt: skip
def test_contradicting_entries_are_refused(artifact, entry, value):
    change(artifact, **{entry: value})

    assert str(artifact.folder) in invalid(artifact)


FIGURES = {"dataset": "shop", "num_images": 120, "accuracy": 0.9}


@pytest.mark.parametrize("more", [{}, {"dataset_sha256": "a" * 64, "macro_recall": 0.5, "metrics": {"by": "hand"}}])
def test_claimed_figures_may_be_there(artifact, more):
    change(artifact, provenance={"evaluations": [FIGURES | more]})

    assert load_artifact(artifact.folder).provenance["evaluations"] == [FIGURES | more]


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy": 7.0}, {"accuracy": -0.1}, {"accuracy": "high"}, {"accuracy": float("nan")}, {"accuracy": True},
        {"num_images": 0}, {"num_images": 2.5}, {"dataset": ""}, {"dataset": "x" * 201}, {"dataset_sha256": "a"},
        {"macro_recall": 2}, {"metrics": []}, {"source": "measured here"}, {"version": 1},
    ],
)  # fmt: skip
def test_senseless_claimed_figures_are_refused(artifact, wrong):
    change(artifact, provenance={"evaluations": [FIGURES, FIGURES | wrong]})

    assert "provenance.evaluations[1]" in invalid(artifact)


@pytest.mark.parametrize("entry", [{}, 3, [], {"dataset": "shop", "accuracy": 1}])
def test_incomplete_claimed_figures_are_refused(artifact, entry):
    change(artifact, provenance={"evaluations": [entry]})

    assert "provenance.evaluations[0]" in invalid(artifact)


def test_head_must_fit_the_labels(artifact):
    rewrite_weights(artifact, STATE | {"head.weight": np.ones((3, 3), np.float32)})

    assert "the head gives 3 scores for 2 labels" in invalid(artifact)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_infinite_weights_are_refused(artifact, value):
    rewrite_weights(artifact, STATE | {"features.weight": np.full((3, 4), value, np.float32)})

    assert "not finite" in invalid(artifact)


def test_half_precision_overflow_is_refused(tmp_path):
    state = STATE | {"head.weight": np.full((2, 3), 1e6, np.float32)}
    with pytest.raises(ArtifactInvalid, match="not finite"), np.errstate(over="ignore"):
        save_artifact(tmp_path / "model", **PARTS | {"state": state}, half=True)


def test_weights_that_are_no_safetensors_are_refused(artifact):
    raw = b"\x80\x04pickle"
    (artifact.folder / "model.safetensors").write_bytes(raw)
    change(artifact, weights_sha256=hashlib.sha256(raw).hexdigest())

    assert "cannot be read" in invalid(artifact)
