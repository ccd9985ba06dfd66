"""Changes to an ImageFolder on disk. First a plan, to be shown; then the plan is carried out. Nothing is deleted."""

import csv
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ImageOps

from classifier_core import durable
from classifier_core.datasets.disk import megabytes, writing
from classifier_core.datasets.duplicates import find_duplicates
from classifier_core.datasets.folder import Dataset, Photo
from classifier_core.datasets.looks import Look, in_progress, look_at
from classifier_core.errors import DatasetInvalid, DatasetUnwritable
from classifier_core.images import decode
from classifier_core.spreadsheets import BYTE_ORDER_MARK, harmless

LIST = "moved.csv"  # in a quarantine folder: what was moved, where from and why
_JPEG_QUALITY = 95  # of flipped copies, hardly to be told from the original


@dataclass(frozen=True)
class Move:
    """A photo that leaves the data set, and why."""

    photo: Photo
    reason: str


@dataclass(frozen=True)
class Copy:
    """A photo to be written beside another: the same bytes, or its mirror image."""

    source: Path
    target: Path
    is_flipped: bool


def plan_cleaning(
    dataset: Dataset,
    *,
    min_side: int = 0,  # pixels, of the shorter side
    max_aspect: float = 0.0,  # longer by shorter side; 0: any
    duplicates: bool = False,
) -> list[Move]:
    """The photos that cannot be read, and those outside of the limits. Of duplicates, the largest photo stays.

    Of duplicates with two labels all are moved: nobody knows which is right.
    """
    looks = look_at(dataset.photos)
    reasons = {number: _reason(look, min_side, max_aspect) for number, look in enumerate(looks)}
    found = {number: reason for number, reason in reasons.items() if reason}
    if duplicates:
        found |= _surplus(dataset, looks, found)
    return [Move(dataset.photos[number], found[number]) for number in sorted(found)]


def plan_capping(dataset: Dataset, *, most: int, seed: int = 0) -> list[Move]:
    """Photos drawn with equal chances from the classes that have more than `most`."""
    random, moves = np.random.default_rng(seed), []
    for label, count in dataset.count().items():
        photos = [photo for photo in dataset.photos if photo.label == label]
        chosen = sorted(random.permutation(count)[most:])
        moves += [Move(photos[number], f"{label} has {count} photos, at most {most} stay") for number in chosen]
    return moves


def plan_oversampling(dataset: Dataset, *, least: int) -> list[Copy]:
    """Copies for the classes that have fewer than `least` photos, each photo in turn."""
    copies: list[Copy] = []
    for photos in _small_classes(dataset, least):
        for number in range(least - len(photos)):
            source = photos[number % len(photos)].path
            copies.append(Copy(source, _free_name(source, f"copy{number // len(photos) + 1}"), is_flipped=False))
    return copies


def plan_flips(dataset: Dataset, *, least: int) -> list[Copy]:
    """Mirror images for the classes that have fewer than `least` photos; at most one of each photo.

    Photos whose mirror image is there already from an earlier run are passed over.
    """
    copies: list[Copy] = []
    for photos in _small_classes(dataset, least):
        there = {photo.path for photo in photos}
        # By target: of a.jpg and a.png only one can have a.flip.jpg.
        flips = {photo.path.with_name(f"{photo.path.stem}.flip.jpg"): photo.path for photo in photos}
        new = [(source, to) for to, source in flips.items() if to not in there and not source.stem.endswith(".flip")]
        copies += [Copy(source, target, is_flipped=True) for source, target in new[: least - len(photos)]]
    return copies


def move_out(moves: Sequence[Move], *, dataset: Dataset, quarantine: Path) -> Path:
    """Move photos to the same places below the quarantine folder, and write a list; returns the list.

    A list that is there already is continued. Raises DatasetInvalid when a class would have no photos left, and
    DatasetUnwritable; then what was moved is in the list.
    """
    _check_rest(moves, dataset)
    done: list[tuple[Move, Path]] = []
    try:
        for move in in_progress(moves, "Moving"):
            with writing(str(quarantine)):
                done.append((move, _moved(move.photo.path, dataset.root, quarantine)))
    finally:
        with writing(str(quarantine / LIST)):
            _write_list(done, dataset.root, quarantine)
    return quarantine / LIST


def write_copies(copies: Sequence[Copy]) -> None:
    """Write all copies, or none. Raises DatasetUnwritable, and what `images.decode` raises."""
    written: list[Path] = []
    try:
        for copy in in_progress(copies, "Writing"):
            with writing(str(copy.target)):
                written.append(copy.target)
                durable.replace(copy.target, [_content(copy)])
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def import_dataset(dataset: Dataset, target: Path, *, skip_unreadable: bool = False) -> Dataset:
    """Copy the photos into a new ImageFolder, whole or not at all.

    Raises DatasetInvalid for photos that cannot be read (unless they are to be left out), DatasetUnwritable when the
    folder is there already or cannot be written.
    """
    if target.exists():
        raise DatasetUnwritable(f"{target} is there already. Name a new folder; nothing is ever overwritten.")
    chosen = _readable(dataset, skip_unreadable=skip_unreadable)
    with writing(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_space(chosen, target)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _copy_all(chosen, scratch)
            scratch.chmod(0o755)  # mkdtemp's 0700 would hide it from a service that runs as another user
            durable.sync_tree(scratch)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        durable.sync(target.parent)
    return dataset.only(chosen)


def _reason(look: Look, min_side: int, max_aspect: float) -> str:
    if look.problem:
        return f"cannot be read: {look.problem}"
    if look.shorter_side < min_side:
        return f"shorter side {look.shorter_side} pixels, below {min_side}"
    if max_aspect and look.aspect > max_aspect:
        return f"{look.aspect:.1f} times as long as wide, above {max_aspect:g}"
    return ""


def _surplus(dataset: Dataset, looks: Sequence[Look], gone: Iterable[int]) -> dict[int, str]:
    """All of a group of duplicates but the largest photo; all of a group that has two labels.

    Grouped as pairs with the one that stays, so that in a chain of neighbours only what resembles it goes.
    """
    photos, gone, surplus = dataset.photos, set(gone), dict[int, str]()
    for pair in find_duplicates(looks):
        if {pair.first, pair.second} & gone:
            continue
        if photos[pair.first].label != photos[pair.second].label:
            for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
                surplus[one] = f"the same as {dataset.name_of(photos[other])}, which has another label"
        elif not {pair.first, pair.second} & surplus.keys():
            keep, drop = sorted((pair.first, pair.second), key=lambda number: (-_area(looks[number]), number))
            surplus[drop] = f"{pair.kind} duplicate of {dataset.name_of(photos[keep])}"
    return surplus


def _check_rest(moves: Sequence[Move], dataset: Dataset) -> None:
    moved = Counter(move.photo.label for move in moves)
    emptied = [label for label, count in dataset.count().items() if moved[label] == count]
    if emptied:
        raise DatasetInvalid(f"Nothing was moved: {', '.join(emptied)} would have no photos left. Loosen the limits.")


def _area(look: Look) -> int:
    return look.width * look.height


def _small_classes(dataset: Dataset, least: int) -> list[list[Photo]]:
    classes = [[photo for photo in dataset.photos if photo.label == label] for label in dataset.labels]
    return [photos for photos in classes if len(photos) < least]


def _free_name(path: Path, word: str) -> Path:
    target, number = path.with_name(f"{path.stem}.{word}{path.suffix}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.stem}.{word}-{number}{path.suffix}")
    return target


def _moved(path: Path, root: Path, quarantine: Path) -> Path:
    target = quarantine / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target = _free_name(target, "again")
    shutil.move(path, target)
    return target


def _write_list(done: Sequence[tuple[Move, Path]], root: Path, quarantine: Path) -> None:
    if not done:
        return
    old = (quarantine / LIST).read_text(encoding="utf-8-sig") if (quarantine / LIST).exists() else ""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    if not old:
        rows.writerow(["moved_to", "moved_from", "label", "reason"])
    for move, target in done:
        photo = move.photo
        from_ = root.resolve() / photo.path.relative_to(root)
        rows.writerow(map(harmless, (target.relative_to(quarantine), from_, photo.label, move.reason)))
    durable.replace(quarantine / LIST, [(BYTE_ORDER_MARK + old + text.getvalue()).encode()])


def _content(copy: Copy) -> bytes:
    raw = copy.source.read_bytes()
    if not copy.is_flipped:
        return raw
    file = io.BytesIO()
    ImageOps.mirror(decode(raw)).save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return file.getvalue()


def _readable(dataset: Dataset, *, skip_unreadable: bool) -> tuple[Photo, ...]:
    looks = look_at(dataset.photos)
    broken = [number for number, look in enumerate(looks) if look.problem]
    if broken and not skip_unreadable:
        first = dataset.name_of(dataset.photos[broken[0]])
        raise DatasetInvalid(
            f"{len(broken)} of {len(looks)} photos cannot be read, the first is {first} ({looks[broken[0]].problem}) "
            "Leave them out with --skip-unreadable."
        )
    chosen = tuple(photo for photo, look in zip(dataset.photos, looks, strict=True) if not look.problem)
    empty = set(dataset.labels) - {photo.label for photo in chosen}
    if empty:
        raise DatasetInvalid(f"No photo of {', '.join(sorted(empty))} can be read. Add photos, or remove the class.")
    return chosen


def _check_space(photos: Sequence[Photo], target: Path) -> None:
    needed = sum(photo.path.stat().st_size for photo in photos)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise DatasetUnwritable(
            f"{target} needs {megabytes(needed)} MB, but only {megabytes(free)} MB are free. Make space, or choose "
            "another place."
        )


def _copy_all(photos: Sequence[Photo], folder: Path) -> None:
    taken: Counter[Path] = Counter()
    for photo in in_progress(photos, "Copying"):
        target = folder / photo.label / photo.path.name
        taken[target] += 1
        if taken[target] > 1:  # two folders of one class, or of a CSV, had this name
            target = _free_name(target, str(taken[target]))
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(photo.path, target)
