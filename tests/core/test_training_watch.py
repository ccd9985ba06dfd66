"""Somebody looks on while a run goes, and stops it."""

import json
from pathlib import Path

import pytest

from classifier_core.datasets.splits import Split
from classifier_core.errors import TrainingStopped
from classifier_core.training import finish
from classifier_core.training.config import TrainConfig
from classifier_core.training.runs import train
from classifier_core.training.watching import Watch
from tests.core.tiny_training import register_tiny, split_by_number, write_stripes

register_tiny()

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finish, "write_report", lambda *_values, **_options: None)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return split_by_number(write_stripes(tmp_path_factory.mktemp("data") / "stripes", per_class=8), num_val=2)


def tiny(**options) -> TrainConfig:
    return TrainConfig("tiny", image_size=32, epochs=3, batch_size=6, precision="float32", device="cpu", **options)


def test_watch_is_told_of_photos_steps_and_epochs(split: Split, tmp_path: Path):
    ticks, epochs = [], []
    train(tiny(), split, tmp_path / "run", watch=Watch(tick=lambda *told: ticks.append(told), on_epoch=epochs.append))

    assert ("reading training photos", 18, 18) in ticks
    assert [tick for tick in ticks if tick[0] == "training"] == [("training", done, 9) for done in range(1, 10)]
    assert [figures["epoch"] for figures in epochs] == [1, 2, 3]
    kept = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert kept["val"]["loss"] == epochs[-1]["val"]["loss"]


@pytest.mark.parametrize("words", ["reading training photos", "training"])
def test_watch_stops_a_run_and_the_same_call_goes_on(split: Split, tmp_path: Path, words: str):
    def stop(what: str, done: int, _total: int) -> None:
        if (what, done) == (words, 5):
            raise TrainingStopped("Enough.")

    with pytest.raises(TrainingStopped, match="Enough"):
        train(tiny(), split, tmp_path / "run", watch=Watch(tick=stop))

    done = train(tiny(), split, tmp_path / "run")
    whole = train(tiny(), split, tmp_path / "whole")
    assert done.figures["parts"] == whole.figures["parts"]


def test_frozen_run_tells_of_its_features(split: Split, tmp_path: Path):
    start = train(tiny(), split, tmp_path / "start")
    ticks = []
    frozen = tiny(freeze=True, pretrained=str(start.artifact.folder), augmentation="none")
    train(frozen, split, tmp_path / "run", watch=Watch(tick=lambda *told: ticks.append(told)))

    assert ("computing features", 18, 18) in ticks
