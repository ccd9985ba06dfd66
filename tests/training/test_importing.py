"""Base photos from folders: which class a folder's name means."""

from pathlib import Path

import pytest

from classifier_core.datasets.folder import load_dataset
from classifier_core.errors import DatasetInvalid
from recognizer.registry.models import Label, RegisteredModel
from recognizer.registry.taxonomy import add_label, retire
from recognizer.training.importing import import_base_photos
from recognizer.training.models import BasePhoto
from tests.photo_folders import picture


@pytest.fixture
def dragon(fruit_rows: RegisteredModel) -> Label:
    return add_label(fruit_rows, english="Dragon fruit", chinese="火龙果")


def given(root: Path, *folders: str) -> Path:
    """One photo in each folder."""
    for seed, name in enumerate(folders):
        (root / name).mkdir(parents=True)
        picture(seed).save(root / name / "a.png")
    return root


def take_in(root: Path, model: RegisteredModel, *, adds_classes: bool = False) -> None:
    import_base_photos(load_dataset(root, min_labels=1), model, adds_classes=adds_classes, by=None)


@pytest.mark.parametrize("adds_classes", [True, False])
def test_a_folder_named_like_a_label_in_any_way_is_that_label(dragon: Label, tmp_path: Path, adds_classes: bool):
    before = Label.objects.count()

    root = given(tmp_path, "Dragon Fruit", "火龙果", "dragon_fruit")
    take_in(root, dragon.model, adds_classes=adds_classes)

    assert Label.objects.count() == before
    assert list(BasePhoto.objects.values_list("label__key", flat=True)) == ["dragon_fruit"] * 3


def test_a_new_class_gets_the_key_that_the_desk_would_make(fruit_rows: RegisteredModel, tmp_path: Path):
    take_in(given(tmp_path, "Star Apple", "Star Apple!"), fruit_rows, adds_classes=True)

    new = Label.objects.get(key="star_apple")
    assert (new.names["en"], BasePhoto.objects.filter(label=new).count()) == ("Star Apple", 2)


def test_a_key_counts_before_a_display_name(fruit_rows: RegisteredModel, tmp_path: Path):
    add_label(fruit_rows, english="apple", key="cooking_apple")

    take_in(given(tmp_path, "apple"), fruit_rows)

    assert BasePhoto.objects.get().label.key == "apple"


def test_of_two_with_the_same_name_the_one_in_use_counts(fruit_rows: RegisteredModel, tmp_path: Path):
    for key in ("a_pitaya", "b_pitaya", "c_pitaya"):
        add_label(fruit_rows, english="Pitaya", key=key)
    retire(Label.objects.get(key="a_pitaya")), retire(Label.objects.get(key="c_pitaya"))

    take_in(given(tmp_path, "Pitaya"), fruit_rows)

    assert BasePhoto.objects.get().label.key == "b_pitaya"


def test_folders_that_name_nothing_are_told(fruit_rows: RegisteredModel, tmp_path: Path):
    with pytest.raises(DatasetInvalid, match="fruit has no class 'Lychee', 'durian'"):
        take_in(given(tmp_path / "one", "Lychee", "durian"), fruit_rows)
    with pytest.raises(DatasetInvalid, match="'!!' cannot name a class"):
        take_in(given(tmp_path / "two", "!!"), fruit_rows, adds_classes=True)

    assert not BasePhoto.objects.exists()
