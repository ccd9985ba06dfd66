import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from skimage import data

from classifier_core.datasets.duplicates import find_duplicates, group_near_duplicates
from classifier_core.datasets.folder import Photo, load_dataset
from classifier_core.datasets.looks import look_at
from classifier_core.datasets.quality import blurred, held_out_scores, suspected_labels, tiny, unreadable
from classifier_core.errors import DatasetInvalid
from tests.photo_folders import picture, write_folder
from tests.photos import photos


def saved(folder: Path, images: list[Image.Image]) -> list[Photo]:
    for number, image in enumerate(images):
        image.save(folder / f"{number:02}.jpg", quality=60 + number)
    return [Photo(path, "a") for path in sorted(folder.iterdir())]


def test_all_eight_orientations_are_one_group(tmp_path: Path) -> None:
    cat = Image.fromarray(data.chelsea())
    turned = [image.rotate(90 * quarter, expand=True) for quarter in range(4) for image in (cat, ImageOps.mirror(cat))]

    groups = group_near_duplicates(saved(tmp_path, [*turned, Image.fromarray(data.coffee())]))

    assert len(set(groups[:8])) == 1
    assert groups[8] != groups[0]


def test_changed_copies_are_near_duplicates(tmp_path: Path) -> None:
    cup = Image.fromarray(data.coffee())
    smaller, brighter = cup.resize((200, 133)), cup.point(lambda value: min(255, int(value * 1.2)))
    cut = cup.crop((6, 4, 594, 396))

    assert len(set(group_near_duplicates(saved(tmp_path, [cup, smaller, brighter, cut])))) == 1


def test_exact_copies_are_told_apart_from_near_ones(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    (root / "b" / "copy.png").write_bytes((root / "a" / "000.png").read_bytes())
    picture(1).resize((90, 75)).save(root / "b" / "near.png")
    dataset = load_dataset(root)

    pairs = {
        (dataset.photos[pair.first].path.name, dataset.photos[pair.second].path.name): pair.kind
        for pair in find_duplicates(look_at(dataset.photos))
    }

    assert pairs == {("000.png", "copy.png"): "exact", ("001.png", "near.png"): "near"}


def test_features_join_what_the_hash_does_not(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "data", {"a": 2, "b": 2}))
    features = np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 0, 1]], np.float32)

    assert len(set(group_near_duplicates(dataset.photos))) == 4
    groups = group_near_duplicates(dataset.photos, features=features)
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_features_say_nothing_about_drawings_of_a_few_pixels(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "data", {"a": 2, "b": 2}, size=(40, 40)))

    features = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], np.float32)

    assert len(set(group_near_duplicates(dataset.photos, features=features))) == 4


def test_small_drawings_of_one_digit_are_no_duplicates() -> None:
    digits = load_dataset(photos("digits"))

    ones = [photo for photo in digits.photos if photo.label == "1"]

    assert len(set(group_near_duplicates(ones))) == len(ones)


def test_two_thousand_photos_take_seconds() -> None:
    looks = look_at(load_dataset(photos("fruit")).photos[:100]) * 20
    start = time.perf_counter()

    assert find_duplicates(looks)
    assert time.perf_counter() - start < 30  # 2 s on two idle cores


def test_quality_names_what_is_odd(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 12, "b": 12}, size=(200, 160))
    noise = np.random.default_rng(0).integers(0, 60, (160, 200, 3), dtype=np.uint8)
    for path in root.rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // 2 + noise).save(path)
    Image.open(root / "a" / "003.png").filter(ImageFilter.GaussianBlur(6)).save(root / "a" / "003.png")
    Image.open(root / "b" / "004.png").resize((30, 24), Image.Resampling.NEAREST).save(root / "b" / "004.png")
    (root / "b" / "005.png").write_bytes(b"no picture")
    (root / "b" / "006.png").write_bytes(b"")
    dataset = load_dataset(root)
    looks = look_at(dataset.photos)

    names = [
        [dataset.name_of(dataset.photos[number]) for number in kind(looks)] for kind in (blurred, tiny, unreadable)
    ]

    assert names == [["a/003.png"], ["b/004.png"], ["b/005.png", "b/006.png"]]


def test_wrong_labels_come_first() -> None:
    random = np.random.default_rng(0)
    targets = np.repeat(np.arange(3), 40)
    features = (np.eye(3)[targets].repeat(4, axis=1) + random.normal(0, 0.2, (120, 12))).astype(np.float32)
    wrong = targets.copy()
    wrong[[5, 50, 100]] = [1, 2, 0]

    scores = held_out_scores(features, wrong, groups=range(120))
    suspects = suspected_labels(scores, wrong)

    assert np.allclose(scores.sum(1), 1)
    assert {suspect.index for suspect in suspects[:3]} == {5, 50, 100}
    assert {(suspect.given, suspect.likely) for suspect in suspects[:3]} == {(1, 0), (2, 1), (0, 2)}
    assert len(suspects) <= 4


def test_labels_of_a_class_with_one_photo_cannot_be_checked() -> None:
    with pytest.raises(DatasetInvalid, match="fewer than two"):
        held_out_scores(np.eye(5, dtype=np.float32), np.array([0, 0, 0, 0, 1]), groups=range(5))
