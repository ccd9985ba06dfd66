"""The photos of a snapshot as files, for what trains and judges."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.core.files.storage import default_storage

from classifier_core.datasets.disk import writing
from classifier_core.datasets.folder import Dataset, Photo
from classifier_core.datasets.splits import PARTS, Split
from recognizer.predictions import blobs
from recognizer.storage import is_local
from recognizer.training.models import DatasetSnapshot

# By the format of a blob: the loaders of classifier_core go by the name.
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "AVIF": ".avif"}


@dataclass(frozen=True)
class Materialised:
    """A split of files below a folder. What is missing was erased since, or its file is gone."""

    split: Split
    num_erased: int
    num_gone: int


def materialise(snapshot: DatasetSnapshot, folder: Path, *, tick: Callable[[], None] = lambda: None) -> Materialised:
    """Put the photos below an empty folder: `train/banana/<sha256>.jpg`.

    Links where the originals lie on the same disk. Remove the folder after use: what is erased meanwhile is still in
    it. `tick` is called for each photo. Raises DatasetUnwritable, StorageUnavailable.
    """
    lists: dict[str, list[Photo]] = {part: [] for part in PARTS}
    num_gone = 0
    rows = snapshot.items.alive().order_by("blob").values_list("blob_id", "blob__format", "label", "part")
    for sha256, image_format, label, part in rows.iterator():
        tick()
        path = folder / part / label / f"{sha256}{SUFFIXES.get(str(image_format), '.heic')}"
        if _write(str(sha256), path):
            lists[part].append(Photo(path, label))
        else:
            num_gone += 1
    num_erased = snapshot.items.exclude(erased_at=None).count()
    whole = Dataset(folder, (), tuple(sorted({photo.label for photos in lists.values() for photo in photos})))
    return Materialised(Split(*(whole.only(lists[part]) for part in PARTS)), num_erased, num_gone)


def _write(sha256: str, path: Path) -> bool:
    """False when the bytes are gone."""
    with writing(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if is_local() and _link(default_storage.path(blobs.name_of(sha256)), path):
        return True
    try:
        raw = blobs.read(sha256)
    except FileNotFoundError:
        return False
    with writing(str(path)):
        path.write_bytes(raw)
    return True


def _link(source: str, path: Path) -> bool:
    try:
        os.link(source, path)
    except OSError:  # gone, or on another disk
        return False
    return True
