import unicodedata
from pathlib import Path

import pytest

from classifier_core.datasets.folder import load_dataset, passed_over
from classifier_core.datasets.inspection import inspect_dataset
from classifier_core.errors import DatasetInvalid
from tests.photo_folders import picture, write_folder


def test_folders_become_labels_in_order(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "fruit", {"苹果": 2, "banana": 1}))

    assert dataset.labels == ("banana", "苹果")
    assert dataset.targets.tolist() == [0, 1, 1]
    assert [dataset.name_of(photo) for photo in dataset.photos] == ["banana/000.png", "苹果/000.png", "苹果/001.png"]


def test_fingerprint_changes_with_bytes_name_and_label(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    prints = [load_dataset(root).fingerprint, load_dataset(root).fingerprint]
    (root / "a" / "000.png").rename(root / "b" / "002.png")
    prints.append(load_dataset(root).fingerprint)
    picture(99).save(root / "b" / "002.png")
    prints.append(load_dataset(root).fingerprint)

    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_link_to_nowhere_is_a_photo_that_cannot_be_read(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 2, "b": 2})
    (root / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    dataset = load_dataset(root)

    found = inspect_dataset(dataset)

    assert [finding.path for finding in found.unreadable] == ["a/gone.png"]
    assert found.fingerprint == dataset.fingerprint != dataset.only(dataset.photos[1:]).fingerprint


def test_hidden_and_other_files_are_not_photos(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"a": 1, "b": 1})
    for name in (".DS_Store", "._000.png", "Thumbs.db", "notes.txt"):
        (root / "a" / name).write_bytes(b"x")
    (root / "__MACOSX").mkdir()

    assert len(load_dataset(root).photos) == 2
    assert [path.name for path in passed_over(root)] == ["notes.txt"]


@pytest.mark.parametrize("top", ["", "train"])
def test_photos_beside_the_class_folders_are_loose(tmp_path: Path, top: str) -> None:
    write_folder(tmp_path / top, {"a": 1, "b": 1})
    write_folder(tmp_path / "val", {"a": 1, "b": 1} if top else {})
    for name in ("one.png", ".hidden.png", "notes.txt"):
        (tmp_path / top / name).write_bytes(b"x")

    assert load_dataset(tmp_path).loose == (tmp_path / top / "one.png",)


def test_folders_named_train_and_val_are_parts_not_labels(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "train", {"a": 2, "b": 2})
    write_folder(tmp_path / "data" / "val", {"a": 1, "b": 1})

    assert load_dataset(tmp_path / "data").count() == {"a": 3, "b": 3}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_names_photos_below_it(tmp_path: Path, encoding: str) -> None:
    write_folder(tmp_path / "photos", {"x": 2})
    rows = "path,label\nphotos/x/000.png,苹果\nphotos\\x\\001.png,梨\n"
    (tmp_path / "labels.csv").write_bytes(rows.encode(encoding))

    assert load_dataset(tmp_path / "labels.csv").count() == {"梨": 1, "苹果": 1}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("photos/x/000.png\n", "line 1 lacks"),
        ("path,label\n\nphotos/x/000.png\n", "line 3 lacks"),
        ("file,class\nphotos/x/000.png,a\n", "must be `path,label`"),
        ("photos/x/000.png,a\n", "labels.csv has only one class"),
        ("/etc/passwd,a\n", "leads out"),
        ("../photos/x/000.png,a\n", "leads out"),
        ("photos/x/000.png,a\nphotos/x/9.png,b\n", "1 of 2 photos are not there"),
        ("photos/x/000.png,a\nphotos/x/000.png,b\n", "more than once"),
        ("photos/x/000.png,a/b\nphotos/x/001.png,c\n", "cannot be a label"),
        ("", "lists no photos"),
    ],
)
def test_broken_csv_is_said_in_words(tmp_path: Path, rows: str, words: str) -> None:
    write_folder(tmp_path / "photos", {"x": 2})
    (tmp_path / "labels.csv").write_text(rows)

    with pytest.raises(DatasetInvalid, match=words):
        load_dataset(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no classes"),
        ({"a": 3}, "only one class"),
        ({"a": 1, "b": 0, "c": 0}, "'b', 'c' have no photos"),
        ({"Apple": 1, "apple": 1}, "differ only in capitals"),
        ({" a": 1, "b": 1}, "cannot be a label"),
    ],
)
def test_broken_folder_is_said_in_words(tmp_path: Path, counts: dict[str, int], words: str) -> None:
    (tmp_path / "data").mkdir()

    with pytest.raises(DatasetInvalid, match=words):
        load_dataset(write_folder(tmp_path / "data", counts))


def test_one_name_in_two_unicode_spellings_is_refused(tmp_path: Path) -> None:
    names = {unicodedata.normalize(form, "pêche"): 1 for form in ("NFC", "NFD")}

    with pytest.raises(DatasetInvalid, match="two Unicode spellings"):
        load_dataset(write_folder(tmp_path / "data", names))


def test_missing_source_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match="is not there"):
        load_dataset(tmp_path / "nothing")
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(DatasetInvalid, match="neither a folder nor"):
        load_dataset(tmp_path / "x.tar")
