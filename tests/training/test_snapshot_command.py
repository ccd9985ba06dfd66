"""`manage.py snapshot` and `dataset import --model`."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from classifier_core.datasets.folder import load_dataset
from recognizer.predictions.erasure import erase
from recognizer.registry.models import RegisteredModel
from recognizer.training.models import BasePhoto
from tests.photo_folders import write_folder
from tests.training.snapshot_rows import photo_bytes, reviewed, with_base_photos


def command(*arguments: object) -> str:
    output = io.StringIO()
    call_command(*map(str, arguments), stdout=output, stderr=output)
    return output.getvalue()


def test_snapshot_is_made_listed_and_shown(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=10)
    reviewed(photo_bytes(5000), allowed=False)

    said = command("snapshot", "create", "fruit", "--no-features")

    assert "fruit snapshot 1: 20 photos, content " in said
    assert "fruit test part, state 1" in said
    assert "1 left out: The owner did not allow training." in said
    assert "- apple has 6 photos in train; fewer than 20 say little. Add some." in said
    assert command("snapshot", "show", "fruit", 1) == said
    assert "fruit 1: ready" in command("snapshot", "list")


def test_written_snapshot_is_what_was_frozen(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=10)
    rows = [reviewed(photo_bytes(seed)) for seed in range(5000, 5004)]
    command("snapshot", "create", "fruit", "--no-features")
    erase(rows[0], erased_by="user:1")

    said = command("snapshot", "write", "fruit", 1, tmp_path / "out")

    assert "1 were erased since, the files of 0 are gone." in said
    dataset = load_dataset(tmp_path / "out")
    assert dataset.count() == {"apple": 13, "banana": 10}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train", "val", "test"}
    with pytest.raises(CommandError, match="is there already"):
        command("snapshot", "write", "fruit", 1, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "fruits"), "no model named 'fruits'"),
        (("create", "fruit"), "There is no photo to freeze"),
        (("create", "fruit", "--max-per-class", "0"), "A cap is at least 1"),
        (("show", "fruit", "7"), "fruit has no snapshot 7"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(fruit_rows: RegisteredModel, arguments: tuple[str, ...], words: str):
    with pytest.raises(CommandError, match=words):
        command("snapshot", *arguments)


def test_folder_becomes_base_photos_of_a_new_model(db: None, tmp_path: Path):
    root = write_folder(tmp_path / "cars", {"red car": 3, "blue": 2})
    (root / "blue" / "broken.jpg").write_bytes(b"text")
    half = photo_bytes(1, image_format="PNG")
    (root / "blue" / "half.png").write_bytes(half[: len(half) // 2])

    said = command("dataset", "import", root, "--model", "cars", "--new-model")
    again = command("dataset", "import", root, "--model", "cars")

    assert "5 base photos are new in cars." in said
    assert "blue/broken.jpg was left out" in said
    assert "blue/half.png was left out" in said
    assert "0 base photos are new in cars. 5 were there already." in again
    labels = RegisteredModel.objects.get(name="cars").labels
    assert dict(labels.values_list("key", "names")) == {"blue": {"en": "blue"}, "red_car": {"en": "red car"}}


def test_one_class_is_added_to_a_model(fruit_rows: RegisteredModel, tmp_path: Path):
    command("dataset", "import", write_folder(tmp_path / "more", {"kiwi": 2}), "--model", "fruit")

    assert set(BasePhoto.objects.values_list("label__key", flat=True)) == {"kiwi"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "fruit"), "fruit has no class 'plum'"),
        (("--model", "nothing"), "There is no model named 'nothing'"),
        (("--model", "a b", "--new-model"), "Use letters, digits"),
        ((), "Name a new folder for the photos, or with --model"),
    ],
)
def test_refused_import_stores_nothing(
    fruit_rows: RegisteredModel, tmp_path: Path, options: tuple[str, ...], words: str
):
    root = write_folder(tmp_path / "data", {"plum": 2, "apple": 2})

    with pytest.raises(CommandError, match=words):
        command("dataset", "import", root, *options)
    assert not BasePhoto.objects.exists()
