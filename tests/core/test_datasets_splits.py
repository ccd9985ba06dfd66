from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier_core.datasets.folder import Dataset, Photo, load_dataset
from classifier_core.datasets.splits import (
    Split,
    read_lists,
    split_dataset,
    split_of_folders,
    warnings_of,
    write_lists,
)
from classifier_core.errors import DatasetInvalid
from tests.photo_folders import write_folder


def made_up(counts: dict[str, int]) -> Dataset:
    photos = tuple(Photo(Path(f"/d/{label}/{number:04}"), label) for label in counts for number in range(counts[label]))
    return Dataset(Path("/d"), photos, tuple(counts))


def part_of(split: Split) -> dict[Path, str]:
    return {photo.path: name for name, part in split.parts().items() for photo in part.photos}


def test_each_class_has_its_share_in_each_part() -> None:
    split = split_dataset(made_up({"a": 100, "b": 40}), groups=range(140))

    assert split.train.count() == {"a": 70, "b": 28}
    assert split.val.count() == split.test.count() == {"a": 15, "b": 6}


def test_same_seed_gives_the_same_split() -> None:
    dataset = made_up({"a": 50, "b": 50})

    assert split_dataset(dataset, groups=range(100), seed=3) == split_dataset(dataset, groups=range(100), seed=3)
    assert split_dataset(dataset, groups=range(100), seed=3) != split_dataset(dataset, groups=range(100), seed=4)


@given(st.lists(st.integers(0, 30), min_size=4, max_size=80), st.floats(0, 0.45), st.floats(0, 0.45), st.integers(0, 9))
def test_a_group_is_never_in_two_parts(groups: list[int], val: float, test: float, seed: int) -> None:
    half = len(groups) // 2
    dataset = made_up({"a": half, "b": len(groups) - half})

    parts = part_of(split_dataset(dataset, groups=groups, val=val, test=test, seed=seed))

    assert len(parts) == len(groups)
    where: dict[int, set[str]] = {}
    for photo, group in zip(dataset.photos, groups, strict=True):
        where.setdefault(group, set()).add(parts[photo.path])
    assert all(len(names) == 1 for names in where.values())


def test_small_class_trains_first_and_is_warned_of() -> None:
    split = split_dataset(made_up({"a": 40, "b": 1, "c": 3}), groups=range(44))

    assert split.train.count()["b"] == 1
    assert (split.train.count()["c"], split.val.count()["c"], split.test.count()["c"]) == (1, 1, 1)
    assert [warning.split(":")[0] for warning in warnings_of(split)] == [
        "val has no photos of the class b",
        "test has no photos of the class b",
    ]


def test_newcomers_follow_their_group_and_nobody_moves() -> None:
    before, after = made_up({"a": 60, "b": 60}), made_up({"a": 70, "b": 60})
    old = split_dataset(before, groups=range(120))
    old_parts = part_of(old)
    test_photo = next(number for number in range(60) if old_parts[before.photos[number].path] == "test")
    train_photo = next(number for number in range(60) if old_parts[before.photos[number].path] == "train")
    groups = list(range(130))
    groups[60] = test_photo  # the first newcomer resembles a photo of test
    bridge = list(groups)
    bridge[61] = bridge[test_photo] = bridge[60] = train_photo  # and this one joins train and test

    new = part_of(split_dataset(after, groups=groups, previous=old, seed=9))
    bridged = part_of(split_dataset(after, groups=bridge, previous=old, seed=9))

    assert all(new[path] == name for path, name in old_parts.items())
    assert new[after.photos[60].path] == "test"
    assert all(bridged[path] == name for path, name in old_parts.items())
    assert after.photos[60].path not in bridged
    assert after.photos[61].path not in bridged


def test_lists_are_read_as_they_were_written(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "data", {"苹果 红": 10, "b": 10}))
    split = split_dataset(dataset, groups=range(20))
    write_lists(split, tmp_path / "lists")

    assert read_lists(tmp_path / "lists", tmp_path / "data") == split
    assert "苹果 红/" in (tmp_path / "lists" / "train.txt").read_text()


def test_broken_lists_are_said_in_words(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "data", {"a": 10, "b": 10}))
    lists = tmp_path / "lists"
    write_lists(split_dataset(dataset, groups=range(20)), lists)
    good = (lists / "train.txt").read_text()
    for text, words in (
        (good + "a/gone.png\ta\n", "1 listed photos are not below"),
        (good + good.splitlines()[0] + "\n", "1 photos are listed twice"),
        (good + "../x.png\ta\n", "is not `relative/path<TAB>label`"),
        (good + "a/001.png\n", "is not `relative/path<TAB>label`"),
        (
            "".join(line for line in good.splitlines(keepends=True) if line.startswith("a")),
            "'b' has no photos in train",
        ),
    ):
        (lists / "train.txt").write_text(text)
        with pytest.raises(DatasetInvalid, match=words):
            read_lists(lists, dataset.root)
    (lists / "val.txt").unlink()
    with pytest.raises(DatasetInvalid, match="cannot be read"):
        read_lists(lists, dataset.root)


def test_class_only_in_validation_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "train", {"a": 3, "b": 3})
    write_folder(tmp_path / "data" / "val", {"a": 1, "b": 1, "c": 2})
    dataset = load_dataset(tmp_path / "data")

    with pytest.raises(DatasetInvalid, match=r"'c' has no photos in train \(2 in val\)"):
        split_of_folders(dataset)
    split = split_of_folders(dataset, is_usable=False)
    assert split is not None
    assert "2 in val" in warnings_of(split)[0]


def test_folders_that_are_no_parts_have_no_split(tmp_path: Path) -> None:
    assert split_of_folders(load_dataset(write_folder(tmp_path / "data", {"a": 1, "b": 1}))) is None


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(DatasetInvalid, match="leave nothing"):
        split_dataset(made_up({"a": 5, "b": 5}), groups=np.arange(10).tolist(), val=0.5, test=0.5)
