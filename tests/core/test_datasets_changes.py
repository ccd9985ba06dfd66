import csv
import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from classifier_core import durable
from classifier_core.datasets.changes import (
    import_dataset,
    move_out,
    plan_capping,
    plan_cleaning,
    plan_flips,
    plan_oversampling,
    write_copies,
)
from classifier_core.datasets.duplicates import group_near_duplicates
from classifier_core.datasets.folder import load_dataset
from classifier_core.errors import DatasetInvalid, DatasetUnwritable
from tests.photo_folders import picture, write_folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_plan_names_reasons_and_touches_nothing(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 3, "b": 5})
    picture(50, size=(40, 40)).save(root / "a" / "000.png")
    picture(51, size=(300, 90)).save(root / "a" / "001.png")
    (root / "b" / "000.png").write_bytes(b"text")
    picture(52, size=(200, 160)).save(root / "b" / "001.png")
    picture(52, size=(100, 80)).save(root / "b" / "002.png")
    before, dataset = files(root), load_dataset(root)

    moves = plan_cleaning(dataset, min_side=64, max_aspect=2, duplicates=True)

    assert files(root) == before
    words = {dataset.name_of(move.photo): move.reason for move in moves}
    assert words["a/000.png"] == "shorter side 40 pixels, below 64"
    assert words["a/001.png"] == "3.3 times as long as wide, above 2"
    assert words["b/000.png"] == "cannot be read: This is not an image we can read."
    assert words["b/002.png"] == "near duplicate of b/001.png"
    assert len(words) == 4


def test_three_copies_leave_one(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    for name in ("x.png", "y.png"):
        shutil.copy(root / "a" / "000.png", root / "a" / name)

    assert [move.photo.path.name for move in plan_cleaning(load_dataset(root), duplicates=True)] == ["x.png", "y.png"]


def test_copies_with_two_labels_all_go(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    shutil.copy(root / "a" / "000.png", root / "b" / "x.png")

    moves = plan_cleaning(load_dataset(root), duplicates=True)

    assert [move.reason for move in moves] == [
        "the same as b/x.png, which has another label",
        "the same as a/000.png, which has another label",
    ]


def test_moved_photos_are_in_the_quarantine_and_its_list(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"苹果": 5, "b": 2})
    before, quarantine = files(root), tmp_path / "q"
    for most in (3, 2):
        dataset = load_dataset(root)
        move_out(plan_capping(dataset, most=most), dataset=dataset, quarantine=quarantine)

    rows = list(csv.DictReader((quarantine / "moved.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert load_dataset(root).count() == {"b": 2, "苹果": 2}
    assert {row["label"] for row in rows} == {"苹果"}
    for row in rows:
        assert (quarantine / row["moved_to"]).read_bytes() == before[row["moved_to"]]
        assert row["moved_from"] == str(root / row["moved_to"])
    assert len(rows) == 3


def test_a_class_is_never_emptied(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    for path in (root / "b").iterdir():
        path.write_bytes(b"text")
    before, dataset = files(root), load_dataset(root)

    with pytest.raises(DatasetInvalid, match="b would have no photos left"):
        move_out(plan_cleaning(dataset), dataset=dataset, quarantine=tmp_path / "q")
    assert files(root) == before


def test_small_classes_are_filled_with_copies(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 6})

    write_copies(plan_oversampling(load_dataset(root), least=5))

    dataset = load_dataset(root)
    assert dataset.count() == {"a": 5, "b": 6}
    assert len(set(group_near_duplicates(dataset.photos)[:5])) == 2


def test_flips_are_mirror_images_made_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 3, "b": 6})
    for _ in range(2):
        write_copies(plan_flips(load_dataset(root), least=100))

    assert load_dataset(root).count() == {"a": 6, "b": 12}
    original = np.asarray(Image.open(root / "a" / "000.png"), np.int16)
    flipped = np.asarray(Image.open(root / "a" / "000.flip.jpg"), np.int16)
    assert np.abs(original[:, ::-1] - flipped).mean() < 3


def test_no_space_leaves_no_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 6})
    before, copies = files(root), plan_oversampling(load_dataset(root), least=5)
    replace, calls = durable.replace, iter([True, False])
    monkeypatch.setattr(durable, "replace", lambda *values: replace(*values) if next(calls) else no_space())

    with pytest.raises(DatasetUnwritable, match="no space left"):
        write_copies(copies)
    assert files(root) == before


def test_import_makes_a_plain_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "in" / "train", {"a": 2, "苹果": 1})
    write_folder(tmp_path / "in" / "test", {"a": 2, "苹果": 1})
    dataset = load_dataset(tmp_path / "in")

    import_dataset(dataset, tmp_path / "new" / "out")

    assert load_dataset(tmp_path / "new" / "out").count() == {"a": 4, "苹果": 2}
    assert sorted(path.name for path in (tmp_path / "new" / "out" / "a").iterdir()) == [
        "000.2.png",
        "000.png",
        "001.2.png",
        "001.png",
    ]


def test_import_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "in", {"a": 2, "b": 2})
    dataset = load_dataset(root)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", no_space)
        with pytest.raises(DatasetUnwritable, match="no space left"):
            import_dataset(dataset, tmp_path / "out")
    (root / "a" / "000.png").write_bytes(b"text")
    with pytest.raises(DatasetInvalid, match="1 of 4 photos cannot be read"):
        import_dataset(dataset, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]

    assert len(import_dataset(dataset, tmp_path / "out", skip_unreadable=True).photos) == 3
    with pytest.raises(DatasetUnwritable, match="is there already"):
        import_dataset(dataset, tmp_path / "out")


@pytest.mark.parametrize(("free", "words"), [(400_000, "0.4"), (9, "0.1"), (0, "0.0")])
def test_little_space_is_not_called_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, words: str
) -> None:
    root = write_folder(tmp_path / "in", {"a": 2, "b": 2})
    (root / "a" / "000.png").write_bytes((root / "a" / "000.png").read_bytes() + b"0" * 3_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    with pytest.raises(DatasetUnwritable, match=rf"needs 3\.\d MB, but only {words} MB are free"):
        import_dataset(load_dataset(root), tmp_path / "out")


def test_photos_of_one_name_share_a_flip(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 1, "b": 9})
    Image.open(root / "a" / "000.png").save(root / "a" / "000.jpg")

    planned = plan_flips(load_dataset(root), least=9)

    assert [copy.target.name for copy in planned] == ["000.flip.jpg"]
