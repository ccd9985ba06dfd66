"""Whole runs of a tiny network on photos the test makes: what they leave, and how they survive."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from classifier_core.artifact import load_artifact
from classifier_core.classifier import load_classifier
from classifier_core.datasets.splits import Split, read_lists
from classifier_core.engines import EngineSpec
from classifier_core.errors import DatasetInvalid, TrainingFailed
from classifier_core.training import finish, run_folder, runs
from classifier_core.training.config import TrainConfig
from classifier_core.training.materials import read_materials
from classifier_core.training.network import build_preprocessing
from classifier_core.training.packing import Packaging
from classifier_core.training.runs import train
from classifier_core.training.watching import Watch
from tests.core.tiny_training import LABELS, register_tiny, split_by_number, write_stripes

CHECKOUT = Path(__file__).resolve().parent.parent.parent

register_tiny()

pytestmark = pytest.mark.usefixtures("one_thread")

# Sums of float32 may come in another order on a loaded machine; on one machine the difference is 0 as a rule.
TOLERANCE = 1e-4

TINY = {
    "arch": "tiny",
    "image_size": 32,
    "epochs": 3,
    "batch_size": 12,
    "precision": "float32",
    "device": "cpu",
}


PACKAGING = Packaging({"down": {"en": "Down", "zh": "竖"}})


def tiny(**options) -> TrainConfig:
    return TrainConfig(**TINY | options)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch) -> None:
    # Drawing takes longer than all the rest; the finished run below was made before this, with its report.
    monkeypatch.setattr(finish, "write_report", lambda *_values, **_options: None)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes")


@pytest.fixture(scope="module")
def split(photos) -> Split:
    return split_by_number(photos, num_test=2)


@pytest.fixture(scope="module")
def done(split, tmp_path_factory):
    """One finished run with most options on. Read only."""
    folder = tmp_path_factory.mktemp("runs") / "done"
    config = tiny(augmentation="strong", ema=0.9, mixup=0.2, label_smoothing=0.1, balance="weights", epochs=4)
    return train(config, split, folder, data_name="stripes", packaging=PACKAGING)


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def without_times(log: list[dict]) -> list[dict]:
    return [
        {key: value for key, value in entry.items() if key not in ("seconds", "images_per_second")} for entry in log
    ]


def assert_same_state(one: Path, other: Path) -> None:
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert np.allclose(tensor, second[name], atol=TOLERANCE), name


def test_run_folder_is_complete(done):
    files = {path.name for path in done.folder.iterdir()}
    assert files == {
        "artifact",
        "best.safetensors",
        "checkpoint.safetensors",
        "class_indices.json",
        "config.json",
        "data.json",
        "environment.json",
        "figures",
        "last.safetensors",
        "log.jsonl",
        "network.json",
        "report.html",
        "results.json",
        "test.txt",
        "train.txt",
        "val.txt",
    }
    assert json.loads((done.folder / "class_indices.json").read_text()) == dict(zip("012", LABELS, strict=True))
    assert TrainConfig.from_dict(json.loads((done.folder / "config.json").read_text())).ema == 0.9


def test_log_has_figures_of_each_class_and_epoch(done):
    log = log_of(done.folder)
    assert [entry["epoch"] for entry in log] == [1, 2, 3, 4]
    for part in ("train", "val"):
        assert set(log[0][part]) >= {"loss", "accuracy", "macro_recall"}
        rows = log[0][part]["classes"]
        assert [row["label"] for row in rows] == list(LABELS)
        assert set(rows[0]) == {"label", "support", "precision", "recall", "specificity", "f1"}
    assert log[-1]["lr"] < log[1]["lr"]


def test_data_are_named_by_their_hash(done, split, photos):
    data = json.loads((done.folder / "data.json").read_text())
    assert data["parts"]["train"] == {
        "num_images": 30,
        "sha256": split.train.fingerprint,
        "classes": dict.fromkeys(LABELS, 10),
    }
    assert read_lists(done.folder, photos) == split


def test_cost_is_counted(done):
    cost = done.figures["cost"]
    state = load_file(done.folder / "best.safetensors")
    weights = sum(tensor.size for name, tensor in state.items() if "running" not in name and "num_batches" not in name)
    assert cost["num_parameters"] == cost["num_trainable"] == weights
    # Two convolutions and the head, a multiplication and an addition each.
    assert cost["flops"] == 2 * (16 * 16 * 8 * 3 * 9 + 8 * 8 * 16 * 8 * 9 + 16 * 3)


def test_artifact_answers_as_the_run_was_judged(done, split):
    artifact = load_artifact(done.folder / "artifact")
    assert [label.names for label in artifact.labels] == [{}, {"en": "Down", "zh": "竖"}, {}]
    classifier = load_classifier(artifact.folder, EngineSpec("torch"), num_threads=2)
    answers = classifier.classify_files([photo.path for photo in split.test.photos], top_k=1)
    is_right = [answer.scores[0].label == path.parent.name for path, answer in answers]
    evaluation = artifact.provenance["evaluations"][0]
    assert evaluation["dataset"] == "stripes (test)"
    assert evaluation["accuracy"] == done.figures["parts"]["test"]["accuracy"] == np.mean(is_right)


def test_artifact_says_nothing_about_the_machine(done):
    manifest = (done.folder / "artifact" / "artifact.json").read_text()
    assert str(Path.home()) not in manifest
    assert "/tmp" not in manifest


def test_report_has_the_curves(done):
    page = (done.folder / "report.html").read_text()
    looked = page.partition("Where it looked</h2>")[2].partition("<h2")[0]
    assert looked.count("data:image/jpeg") == len(LABELS)
    assert "Loss and accuracy over the epochs" in page
    assert [page.count(f">On {part} photos</h2>") for part in ("training", "validation", "test")] == [1, 1, 1]
    for part in ("train", "val", "test"):
        curves = json.loads((done.folder / "figures" / part / "roc_curves.json").read_text())
        assert set(curves) == set(LABELS)


def test_finished_run_is_not_repeated(done, split):
    before = (done.folder / "best.safetensors").stat().st_mtime_ns
    config = TrainConfig.from_dict(json.loads((done.folder / "config.json").read_text()))
    again = train(config, split, done.folder, data_name="stripes", packaging=PACKAGING)
    assert again.figures == done.figures
    assert (done.folder / "best.safetensors").stat().st_mtime_ns == before


def test_finished_run_is_packed_anew_for_other_names(split, tmp_path):
    first = train(tiny(epochs=1), split, tmp_path / "run")
    again = train(tiny(epochs=1), split, tmp_path / "run", packaging=Packaging({"down": {"en": "Down"}}, half=True))
    assert again.artifact.labels[1].names == {"en": "Down"}
    assert again.artifact.sha256 != first.artifact.sha256
    assert len(log_of(tmp_path / "run")) == 1


def test_start_that_was_killed_is_started_again(split, tmp_path):
    train(tiny(epochs=1), split, tmp_path / "run")
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("data.json", "train.txt", "class_indices.json"):
        (killed / name).write_bytes((tmp_path / "run" / name).read_bytes())
    (killed / ".environment.json.0a1b2c.part").touch()
    assert train(tiny(epochs=1), split, killed).figures["epochs"] == 1


def test_other_options_or_photos_need_another_folder(done, split):
    config = TrainConfig.from_dict(json.loads((done.folder / "config.json").read_text()) | {"lr": 0.5})
    with pytest.raises(TrainingFailed, match=r"other options: lr was None and is 0\.5"):
        train(config, split, done.folder, data_name="stripes")
    fewer = Split(split.train.only(split.train.photos[1:]), split.val, split.test)
    config = TrainConfig.from_dict(json.loads((done.folder / "config.json").read_text()))
    with pytest.raises(TrainingFailed, match="other photos"):
        train(config, fewer, done.folder, data_name="stripes")


def test_folder_with_other_files_is_left_alone(split, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingFailed, match="holds other files"):
        train(tiny(), split, tmp_path)


def test_stripes_are_learned(split, tmp_path):
    result = train(tiny(epochs=25, lr=0.02, augmentation="none", best="loss"), split, tmp_path / "run")
    assert result.figures["parts"]["val"]["accuracy"] >= 0.9


def test_same_seed_same_figures(split, tmp_path):
    for name in ("one", "other"):
        train(tiny(augmentation="strong", mixup=0.3), split, tmp_path / name)
    train(tiny(augmentation="strong", mixup=0.3, seed=1), split, tmp_path / "third")
    one, other, third = (without_times(log_of(tmp_path / name)) for name in ("one", "other", "third"))
    assert one == other
    assert one != third


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from classifier_core.training import finish, run_folder
from tests.core.test_training_runs import tiny
from tests.core.tiny_training import split_by_number
from classifier_core.training.runs import train
from classifier_core.training.watching import Watch
append = run_folder.append_log
def append_and_die(folder, figures):
    append(folder, figures)
    if figures["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
run_folder.append_log = append_and_die
train(tiny(augmentation="flip-crop", ema=0.9), split_by_number(Path(sys.argv[1]), num_test=2), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_run_goes_on_after_kill_9(photos, split, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, photos, tmp_path / "killed"],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(log_of(tmp_path / "killed")) == 2  # the second epoch's checkpoint is missing: it is done again
    config, sentences = tiny(augmentation="flip-crop", ema=0.9), []
    train(config, split, tmp_path / "killed", progress=sentences.append)
    train(config, split, tmp_path / "unbroken")
    assert sentences[0] == f"Going on after epoch 1, which {tmp_path / 'killed'} holds."
    for name in ("best", "last"):
        assert_same_state(tmp_path / "killed" / f"{name}.safetensors", tmp_path / "unbroken" / f"{name}.safetensors")
    one, other = (log_of(tmp_path / name) for name in ("killed", "unbroken"))
    assert [entry["epoch"] for entry in one] == [1, 2, 3]
    for entry, unbroken in zip(one, other, strict=True):
        assert entry["val"]["loss"] == pytest.approx(unbroken["val"]["loss"], abs=TOLERANCE)


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_goes_on(split, tmp_path, monkeypatch):
    append = run_folder.append_log

    def interrupted(folder, figures):
        if figures["epoch"] == 2:
            raise KeyboardInterrupt
        append(folder, figures)

    monkeypatch.setattr(run_folder, "append_log", interrupted)
    with pytest.raises(TrainingFailed, match=r"2 of 3 epochs are done and kept in .*the same command goes on") as stop:
        train(tiny(), split, tmp_path / "run", packaging=Packaging(when_stopped=True))
    assert "can be judged and served as it was best, after epoch 2" in str(stop.value)
    artifact = load_artifact(tmp_path / "run" / "artifact")
    assert artifact.provenance["interrupted_at_epoch"] == 2
    assert artifact.load_known_rule() is None
    monkeypatch.undo()
    result = train(tiny(), split, tmp_path / "run")
    assert result.figures["epochs"] == 3
    assert "interrupted_at_epoch" not in result.artifact.provenance


@pytest.mark.parametrize("error", [SafetensorError("half a file"), RuntimeError("out of memory")])
def test_ctrl_c_says_how_it_goes_on_when_packing_fails(split, tmp_path, monkeypatch, error):
    def interrupted(folder, learning):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "save_checkpoint", interrupted)
    monkeypatch.setattr(runs, "pack_best", Mock(side_effect=error))
    with pytest.raises(TrainingFailed, match=f"1 of 1 .* goes on from there.* no artifact .*: {error}"):
        train(tiny(epochs=1), split, tmp_path / "run", packaging=Packaging(when_stopped=True))


def test_damaged_checkpoint_is_said_so(split, tmp_path, done):
    folder = tmp_path / "run"
    train(tiny(epochs=1), split, folder)
    (folder / "results.json").unlink()
    (folder / "checkpoint.safetensors").write_bytes(b"half a file")
    with pytest.raises(TrainingFailed, match="Delete"):
        train(tiny(epochs=1), split, folder)


def test_run_killed_while_finishing_finishes(split, tmp_path):
    folder = tmp_path / "run"
    first = train(tiny(epochs=1), split, folder)
    (folder / "results.json").unlink()
    again = train(tiny(epochs=1), split, folder)
    assert again.figures["parts"] == first.figures["parts"]


def test_early_stop_waits_for_patience(split, tmp_path):
    # A rate of nearly nothing: the first epoch stays the best by accuracy, or the loss creeps on.
    result = train(tiny(epochs=20, lr=1e-12, patience=2, augmentation="none", ema=0.999), split, tmp_path / "run")
    assert result.figures["epochs"] == result.figures["best_epoch"] + 2 < 20


def test_high_learning_rate_ends_in_words(split, tmp_path):
    with pytest.raises(TrainingFailed, match="lower learning rate"):
        train(tiny(optimizer="sgd", lr=1e30, warmup=0), split, tmp_path / "run")


def test_one_grey_channel(split, tmp_path):
    result = train(tiny(channels=1, fit="letterbox", epochs=1), split, tmp_path / "run")
    assert (result.artifact.in_channels, result.artifact.preprocessing.method) == (1, "letterbox")
    assert len(result.artifact.preprocessing.mean) == 1


def test_small_artifact_is_judged_as_it_is_stored(split, tmp_path):
    result = train(tiny(epochs=2), split, tmp_path / "run", packaging=Packaging(half=True, num_known=9))
    assert len(result.artifact.load_known_rule().features) == 9
    assert load_file(result.artifact.folder / "model.safetensors")["classifier.1.weight"].dtype == np.float16
    classifier = load_classifier(result.artifact.folder, EngineSpec("torch"), num_threads=2)
    answers = classifier.classify_files([photo.path for photo in split.val.photos], top_k=1)
    accuracy = np.mean([answer.scores[0].label == path.parent.name for path, answer in answers])
    assert accuracy == result.figures["parts"]["val"]["accuracy"]


def test_bfloat16_trains_and_is_judged_in_float32(split, tmp_path):
    result = train(tiny(precision="bfloat16", epochs=1), split, tmp_path / "run")
    assert json.loads((result.folder / "environment.json").read_text())["precision"] == "bfloat16"


def test_student_learns_from_a_teacher_and_its_features(done, photos, split, tmp_path):
    config = tiny(
        teacher=str(done.artifact.folder), feature_weight=1.0, more_photos=str(photos / "down"), epochs=2, image_size=40
    )
    result = train(config, split, tmp_path / "run")
    state = load_file(result.folder / "best.safetensors")
    assert not [name for name in state if "projector" in name]


def test_photos_that_judge_are_not_shown_to_the_teacher(photos, split):
    config = tiny(teacher="unused", more_photos=str(photos / "down"))
    materials = read_materials(split, config, build_preprocessing(config), warn=print, watch=Watch())
    num_judging = sum(photo.label == "down" for part in (split.val, split.test) for photo in part.photos)
    assert num_judging
    assert len(materials.train_pictures) == len(split.train.photos) + 16 - num_judging


def test_model_is_judged_and_served_at_a_size_of_its_own(done, split, tmp_path):
    config = tiny(serving_size=48, teacher=str(done.artifact.folder), teacher_size=24, epochs=1)
    result = train(config, split, tmp_path / "run")
    assert result.artifact.preprocessing.crop_size == 48
    assert result.figures["cost"]["flops"] == pytest.approx(done.figures["cost"]["flops"] * 1.5**2, rel=0.01)


def test_teacher_of_other_classes_is_refused(make_artifact, split, tmp_path):
    artifact = make_artifact("mobilenetv3_small_050")
    with pytest.raises(TrainingFailed, match="The teacher does not know 'across'"):
        train(tiny(teacher=str(artifact.folder)), split, tmp_path / "run")


@pytest.fixture(scope="module")
def frozen(done, split, tmp_path_factory):
    """A head that was fitted on the features of the finished run. Read only."""
    folder = tmp_path_factory.mktemp("runs") / "frozen"
    config = tiny(pretrained=str(done.artifact.folder), freeze=True, epochs=40, lr=0.05, batch_size=30)
    return train(config, split, folder)


@pytest.mark.slow
class TestFrozen:
    def test_only_the_head_learns(self, frozen, done):
        start, end = (
            load_file(done.folder / "best.safetensors"),
            load_file(frozen.folder / "best.safetensors"),
        )
        changed = {name for name in start if not np.array_equal(start[name], end[name])}
        assert changed == {"classifier.1.weight", "classifier.1.bias"}
        assert frozen.figures["cost"]["num_trainable"] == 17 * 3

    def test_features_are_computed_once(self, done, split, tmp_path, monkeypatch):
        calls = []
        from classifier_core.training import network

        given_to = network._given_to
        monkeypatch.setattr(network, "_given_to", lambda *values: calls.append(len(values[2])) or given_to(*values))
        config = tiny(pretrained=str(done.artifact.folder), freeze=True, epochs=5)
        train(config, split, tmp_path / "run")
        assert sum(calls) == 2 * len(split.train.photos) + len(split.val.photos)  # as they are and mirrored

    def test_as_good_as_a_logistic_regression(self, frozen, split):
        from sklearn.linear_model import LogisticRegression

        from classifier_core.training.judging import judge_part, restore_best

        config = TrainConfig.from_dict(json.loads((frozen.folder / "config.json").read_text()))
        network = restore_best(frozen.folder, config, num_classes=3)
        train_part, val_part = (judge_part(network, part, config) for part in (split.train, split.val))
        rival = LogisticRegression(max_iter=1000).fit(train_part.answers.features, split.train.targets)
        theirs = rival.score(val_part.answers.features, split.val.targets)
        assert frozen.figures["parts"]["val"]["accuracy"] >= theirs - 1 / len(split.val.photos)

    def test_backbone_that_stays_random_is_refused(self, done, split, tmp_path):
        from safetensors.numpy import save_file

        state = load_file(done.artifact.folder / "model.safetensors")
        save_file(
            {name: tensor for name, tensor in state.items() if "features.0" not in name}, tmp_path / "a.safetensors"
        )
        with pytest.raises(TrainingFailed, match=r"would keep random what the weights lack: features\.0\.weight"):
            train(tiny(pretrained=str(tmp_path / "a.safetensors"), freeze=True), split, tmp_path / "run")

    def test_head_of_convolutions_trains_as_a_whole(self, split, tmp_path):
        options = {"arch": "tiny_convolutional", "epochs": 1}
        first = train(tiny(**options), split, tmp_path / "first")
        config = tiny(**options, pretrained=str(first.artifact.folder), freeze=True)
        second = train(config, split, tmp_path / "second")
        start, end = (load_file(one.folder / "best.safetensors") for one in (first, second))
        assert {name for name in start if not np.array_equal(start[name], end[name])} == {
            "head.weight",
            "head.bias",
        }


class TestBrokenData:
    def test_unreadable_photos_are_counted(self, tmp_path):
        root = write_stripes(tmp_path / "photos", per_class=6)
        (root / "down" / "000.png").write_bytes(b"no photo")
        (root / "down" / "001.png").unlink()
        (root / "down" / "001.png").symlink_to(tmp_path / "nowhere.png")
        sentences = []
        result = train(tiny(epochs=1), split_by_number(root, num_val=2), tmp_path / "run", progress=sentences.append)
        assert sentences[0] == "Left out, because they cannot be read: 2 of 18 photos (000.png, 001.png)."
        assert result.figures["parts"]["train"]["num_images"] == 10
        assert len(read_lists(tmp_path / "run", root).train.photos) == 12

    def test_unreadable_test_photos_cost_the_figures_only(self, photos, tmp_path):
        root = write_stripes(tmp_path / "photos", per_class=8)
        split = split_by_number(root, num_val=2, num_test=2)
        sentences = []
        for number, photo in enumerate(split.test.photos):
            photo.path.write_bytes(b"no photo")
            folder = tmp_path / f"run {number}"
            if number in (0, 5):
                result = train(tiny(epochs=1), split, folder, progress=sentences.append)
        assert "Left out, because they cannot be read: 1 of 6 test photos." in sentences
        assert "There are no figures on test photos. Not one of 6 photos can be read" in sentences[-1]
        assert set(result.figures["parts"]) == {"train", "val"}

    def test_strangers_are_looked_for_before_anything_is_learned(self, split, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(TrainingFailed, match="There are no photos in"):
            train(tiny(), split, tmp_path / "run", packaging=Packaging(strangers=tmp_path / "empty"))
        assert not (tmp_path / "run").exists()

    def test_too_few_known_photos(self, split, tmp_path):
        with pytest.raises(TrainingFailed, match="--known-photos 5 to 1000"):
            train(tiny(), split, tmp_path / "run", packaging=Packaging(num_known=4))
        assert not (tmp_path / "run").exists()

    def test_start_that_saw_the_judges_is_a_warning(self, done, split, tmp_path):
        sentences = []
        other = Split(split.test, split.val, split.train)
        config = tiny(pretrained=str(done.artifact.folder), epochs=1, batch_size=3)
        train(config, other, tmp_path / "run", progress=sentences.append)
        assert "learned from photos with the names of 30" in sentences[0]

    def test_name_of_no_class_is_a_warning(self, split, tmp_path):
        sentences = []
        packaging = Packaging({"dwon": {"en": "Down"}})
        train(tiny(epochs=1), split, tmp_path / "run", packaging=packaging, progress=sentences.append)
        assert sentences[0] == "Names of what is no class are passed over: dwon."

    def test_steps_that_are_too_small_are_said_in_words(self, split, tmp_path):
        with pytest.raises(TrainingFailed, match="Raise --batch-size or --image-size"):
            train(tiny(batch_size=1, image_size=8, arch="mobilenet_v2"), split, tmp_path / "run")

    def test_class_without_readable_photos(self, tmp_path):
        root = write_stripes(tmp_path / "photos", per_class=3)
        for number in (0, 1):
            (root / "down" / f"00{number}.png").write_bytes(b"no photo")
        with pytest.raises(DatasetInvalid, match="no readable training photo of 'down'"):
            train(tiny(), split_by_number(root, num_val=1), tmp_path / "run")

    def test_class_only_in_validation(self, photos, tmp_path):
        whole = split_by_number(photos)
        split = Split(whole.train.only(p for p in whole.train.photos if p.label != "down"), whole.val, whole.test)
        with pytest.raises(DatasetInvalid, match="no readable training photo of 'down'"):
            train(tiny(), split, tmp_path / "run")

    def test_nothing_to_judge_by(self, photos, tmp_path):
        whole = split_by_number(photos)
        with pytest.raises(DatasetInvalid, match="no readable validation photo"):
            train(tiny(), Split(whole.train, whole.val.only([]), whole.test), tmp_path / "run")

    def test_class_without_validation_is_a_warning(self, photos, tmp_path):
        whole = split_by_number(photos)
        split = Split(whole.train, whole.val.only(p for p in whole.val.photos if p.label != "down"), whole.test)
        sentences = []
        train(tiny(epochs=1), split, tmp_path / "run", progress=sentences.append)
        assert sentences[0].startswith("val has no photos of the class down")


def test_gpu_that_is_not_there(split, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(TrainingFailed, match="finds no CUDA device"):
        train(tiny(device="cuda"), split, tmp_path / "run")
