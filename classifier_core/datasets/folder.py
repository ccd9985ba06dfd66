"""Which photo shows what: read from folders named after their labels, or from a CSV."""

import csv
import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from classifier_core.errors import DatasetInvalid

# What images.decode reads, by its usual endings.
PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif", ".mpo", ".apng"}
)
PART_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NOT_DATA = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Photo:
    """A file and what it shows."""

    path: Path
    label: str  # key: the folder's name, Unicode NFC


@dataclass(frozen=True)
class Dataset:
    """Photos sorted by label, then path. The position of a label is its class index."""

    root: Path
    photos: tuple[Photo, ...]
    labels: tuple[str, ...]
    loose: tuple[Path, ...] = ()  # photos beside the class folders: they belong to no class
    from_csv: bool = False  # which names every photo: other files around it mean nothing

    @cached_property
    def targets(self) -> npt.NDArray[np.int64]:
        """The class index of each photo, int64 [N]."""
        index = {label: number for number, label in enumerate(self.labels)}
        return np.array([index[photo.label] for photo in self.photos], np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted lines `sha256-of-bytes  relative/path  label`.

        A photo whose file cannot be opened counts by its name alone.
        """
        lines = sorted(
            f"{hash_or_nothing(photo.path)}  {self.name_of(photo)}  {photo.label}\n" for photo in self.photos
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def name_of(self, photo: Photo) -> str:
        """The photo's path below the root, with slashes, Unicode NFC."""
        return unicodedata.normalize("NFC", photo.path.relative_to(self.root).as_posix())

    def count(self) -> dict[str, int]:
        """How many photos each label has, in the order of the labels."""
        counts = Counter(photo.label for photo in self.photos)
        return {label: counts[label] for label in self.labels}

    def only(self, photos: Iterable[Photo]) -> "Dataset":
        """The same labels with fewer photos, or more."""
        return Dataset(self.root, _in_order(photos), self.labels)


def load_dataset(source: Path | str, *, min_labels: int = 2) -> Dataset:
    """The photos of an ImageFolder or of a CSV of path,label (paths relative to the CSV).

    A folder whose folders are all named train, val or test counts as one data set that is already split. Hidden
    files and files that are not named like a photo are passed over (`passed_over` lists them), and so are photos beside
    the class folders (`loose`). For a zip, see `archive.open_dataset`.

    Raises DatasetInvalid: nothing there, no class, an empty class, fewer classes, two names for one class.
    """
    source = Path(source)
    if source.is_dir():
        return _from_folder(source, min_labels)
    if not source.exists():
        raise DatasetInvalid(f"{source} is not there. Name a folder with a folder of photos for each class.")
    if source.suffix.lower() == ".csv":
        return _from_csv(source, min_labels)
    raise DatasetInvalid(
        f"{source} is neither a folder nor a .csv or .zip file. Name a folder with a folder of photos for each class."
    )


def part_folders(root: Path) -> dict[Path, str]:
    """The folders train, val and test of a data set that is already split, with those names; else none."""
    folders = photo_folders(root)
    parts = {folder: PART_NAMES.get(folder.name.lower(), "") for folder in folders}
    return parts if len(folders) > 1 and all(parts.values()) else {}


def passed_over(root: Path) -> list[Path]:
    """The files below the root that are neither hidden nor named like a photo."""
    return [path for path in _files(root) if path.suffix.lower() not in PHOTO_SUFFIXES]


def build_dataset(
    root: Path, photos: Iterable[Photo], labels: Iterable[str], *, min_labels: int = 2, source: Path | None = None
) -> Dataset:
    """A data set after checking its labels; errors name the `source`, or the root. Raises DatasetInvalid."""
    photos, labels = _in_order(photos), tuple(sorted(labels))
    _check_labels(source or root, labels, min_labels)
    dataset = Dataset(root, photos, labels)
    empty = [label for label, count in dataset.count().items() if not count]
    if empty:
        raise DatasetInvalid(
            f"{root}: {_listed(empty)} {'has' if len(empty) == 1 else 'have'} no photos. Add some, or remove the "
            f"empty {'folder' if len(empty) == 1 else 'folders'}."
        )
    return dataset


def photo_folders(root: Path) -> list[Path]:
    """The folders directly below, without hidden ones and what systems leave behind."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is never data."""
    return name.startswith(".") or name in _NOT_DATA


def photos_below(root: Path) -> list[Path]:
    """Every file below the root that is named like a photo, in no hidden folder, by path."""
    return sorted(path for path in _files(root) if path.suffix.lower() in PHOTO_SUFFIXES)


def sha256_of(path: Path) -> str:
    """SHA-256 of the file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_or_nothing(path: Path) -> str:
    """SHA-256 of the file's bytes; empty for one that cannot be opened, such as a link to nowhere."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def is_listed(path: Path) -> bool:
    """Whether a list may name this: a file, or a link to one that is gone, which is told as unreadable later."""
    return path.is_file() or path.is_symlink()


def to_label(text: str) -> str:
    """A label's key: Unicode NFC, so that one name typed on two systems is one class."""
    return unicodedata.normalize("NFC", text)


def _from_folder(root: Path, min_labels: int) -> Dataset:
    tops = list(part_folders(root)) or [root]
    folders = [folder for top in tops for folder in photo_folders(top)]
    labels = _labels_of(root, folders)
    photos = [Photo(path, labels[folder]) for folder in folders for path in photos_below(folder)]
    dataset = build_dataset(root, photos, set(labels.values()), min_labels=min_labels)
    return replace(dataset, loose=tuple(path for top in dict.fromkeys([root, *tops]) for path in _photos_in(top)))


def _labels_of(root: Path, folders: Sequence[Path]) -> dict[Path, str]:
    labels = {folder: to_label(folder.name) for folder in folders}
    twice = [
        pair for pair, count in Counter((folder.parent, labels[folder]) for folder in folders).items() if count > 1
    ]
    if twice:
        raise DatasetInvalid(f"{root} has two folders that are both named {twice[0][1]!r}, in two Unicode spellings.")
    return labels


def _from_csv(path: Path, min_labels: int) -> Dataset:
    reader = csv.reader(_lines(path))
    rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    if rows and [cell.strip().lower() for cell in rows[0][1][:2]] == ["path", "label"]:
        rows = rows[1:]
    photos = [_photo_of(path, number, row) for number, row in rows]
    _check_csv(path, photos)
    labels = {photo.label for photo in photos}
    dataset = build_dataset(path.parent, photos, labels, min_labels=min_labels, source=path)
    return replace(dataset, from_csv=True)


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):  # the second is what Excel writes in China
        try:
            return raw.decode(encoding).splitlines()
        except UnicodeDecodeError:
            continue
    raise DatasetInvalid(f"{path} is neither UTF-8 nor GB18030 text. Save it as CSV in UTF-8.")


def _photo_of(path: Path, number: int, row: Sequence[str]) -> Photo:
    if len(row) < 2 or not row[0].strip() or not row[1].strip():
        raise DatasetInvalid(f"{path}: line {number} lacks a path or a label. Each line is `path,label`.")
    name = PurePosixPath(row[0].strip().replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise DatasetInvalid(f"{path}: line {number} leads out of the folder ({name}). Put the CSV above the photos.")
    return Photo(path.parent / name, to_label(row[1].strip()))


def _check_csv(path: Path, photos: Sequence[Photo]) -> None:
    if not photos:
        raise DatasetInvalid(f"{path} lists no photos. Each line is `path,label`.")
    missing = [photo.path for photo in photos if not is_listed(photo.path)]
    if missing:
        first = missing[0].relative_to(path.parent)
        is_header = missing[0] == photos[0].path and first.suffix.lower() not in PHOTO_SUFFIXES
        hint = " If that is a header, it must be `path,label`, or be left out." if is_header else ""
        raise DatasetInvalid(
            f"{path}: {len(missing)} of {len(photos)} photos are not there, the first is {first}.{hint}"
        )
    twice = [name for name, count in Counter(photo.path for photo in photos).items() if count > 1]
    if twice:
        raise DatasetInvalid(f"{path}: {len(twice)} photos are listed more than once, the first is {twice[0].name}.")


def _check_labels(root: Path, labels: Sequence[str], min_labels: int) -> None:
    if not labels:
        raise DatasetInvalid(f"{root} has no classes. Make a folder of photos for each class in it.")
    if len(labels) < min_labels:
        raise DatasetInvalid(f"{root} has only one class, {labels[0]!r}. A classifier needs two or more.")
    wrong = next((label for label in labels if not _is_label(label)), None)
    if wrong is not None:
        raise DatasetInvalid(f"{root}: {wrong!r} cannot be a label. Use 1 to 100 printable characters without slashes.")
    same = Counter(label.casefold() for label in labels).most_common(1)[0]
    if same[1] > 1:
        names = [label for label in labels if label.casefold() == same[0]]
        raise DatasetInvalid(f"{root}: {_listed(names)} differ only in capitals. Make them one class.")


def _is_label(label: str) -> bool:
    return (
        1 <= len(label) <= 100
        and label.isprintable()
        and label == label.strip()
        and not label.startswith(".")
        and not set(label) & {"/", "\\"}
    )


def _files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not is_hidden(name))
        yield from (Path(folder, name) for name in sorted(files) if not is_hidden(name))


def _photos_in(folder: Path) -> list[Path]:
    files = (path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file())
    return sorted(path for path in files if not is_hidden(path.name))


def _in_order(photos: Iterable[Photo]) -> tuple[Photo, ...]:
    return tuple(sorted(photos, key=lambda photo: (photo.label, photo.path.as_posix())))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
