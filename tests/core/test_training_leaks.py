from pathlib import Path

import pytest

from classifier_core.datasets.splits import Split, write_lists
from classifier_core.training.config import TrainConfig
from classifier_core.training.leaks import find_leaks
from tests.core.tiny_training import split_by_number
from tests.photo_folders import write_folder


@pytest.fixture
def split(tmp_path) -> Split:
    return split_by_number(write_folder(tmp_path / "photos", {"a": 8, "b": 8}), num_val=1, num_test=1)


def run_on(split: Split, folder: Path) -> Path:
    """A run's folder, as far as its lists go; gives where its artifact would be."""
    write_lists(split, folder)
    (folder / "config.json").write_text("{}")
    (folder / "artifact").mkdir()
    return folder / "artifact"


def test_a_start_that_learned_from_the_judges_is_told(split, tmp_path):
    other = Split(split.train, split.test, split.train)
    artifact = run_on(Split(split.test, split.val, split.train), tmp_path / "run")

    [told] = find_leaks(TrainConfig("x", pretrained=str(artifact)), split)
    assert told.startswith(f"{artifact} learned from photos with the names of 2 of the 4 that judge this run.")
    assert len(list(find_leaks(TrainConfig("x", teacher=str(artifact)), other))) == 1


@pytest.mark.parametrize("field", ["pretrained", "teacher"])
def test_the_same_split_leaks_nothing(split, tmp_path, field):
    artifact = run_on(split, tmp_path / "run")

    assert not list(find_leaks(TrainConfig("x", **{field: str(artifact)}), split))


def test_weights_of_no_run_say_nothing(split, tmp_path):
    write_lists(Split(split.test, split.val, split.train), tmp_path)

    assert not list(find_leaks(TrainConfig("x", pretrained=str(tmp_path / "weights.safetensors")), split))
