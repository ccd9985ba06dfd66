"""Which photos train, which choose (val), which judge (test). Written as lists, so that it is decided once."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier_core import durable
from classifier_core.datasets.folder import Dataset, Photo, is_listed, part_folders, to_label
from classifier_core.errors import DatasetInvalid

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Three data sets with the same labels and no photo in common."""

    train: Dataset
    val: Dataset
    test: Dataset

    def parts(self) -> dict[str, Dataset]:
        """The three by name."""
        return {"train": self.train, "val": self.val, "test": self.test}


def split_dataset(
    dataset: Dataset,
    *,
    groups: Sequence[int],
    val: float = 0.15,  # share of the photos
    test: float = 0.15,
    seed: int = 0,
    previous: Split | None = None,
) -> Split:
    """Parts in which each class has its share, and photos of one group are never in two parts.

    `groups` has a number for each photo, as `group_near_duplicates` gives them. A class with too few groups has none
    in val or test: see `warnings_of`. The same arguments give the same split.

    With a `previous` split every photo stays where it was, and newcomers go where the photos of their group are. A
    newcomer whose group is in two parts already is left out: it would carry what is in test into train.

    Raises DatasetInvalid when the shares leave nothing to train with.
    """
    part_of = _inherited(dataset, groups, previous)
    labels = [photo.label for photo in dataset.photos]
    part_of = assign_parts(labels, groups, part_of=part_of, val=val, test=test, seed=seed)
    return _as_split(dataset, groups, part_of, previous)


def assign_parts(
    labels: Sequence[str],
    groups: Sequence[int],
    *,
    part_of: Mapping[int, str],
    val: float,
    test: float,
    seed: int = 0,
) -> dict[int, str]:
    """The part of each group of photos: as `part_of` says, and by its class's shares where that says nothing.

    Each photo has a label and a group. Raises DatasetInvalid when the shares leave nothing to train with.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise DatasetInvalid(f"val {val} and test {test} leave nothing to train with. Together they must be below 1.")
    parts = dict(part_of)
    sizes: dict[str, Counter[int]] = {label: Counter() for label in sorted(set(labels))}
    for label, group in zip(labels, groups, strict=True):
        sizes[label][group] += 1
    for label, of_label in sizes.items():
        parts |= _assigned(of_label, parts, label=label, shares={"test": test, "val": val}, seed=seed)
    return parts


def warnings_of(split: Split) -> list[str]:
    """What is wrong with a split that can still be used, a sentence each."""
    return [*_only_elsewhere(split), *_without_judges(split)]


def write_lists(split: Split, folder: Path) -> None:
    """Write train.txt, val.txt and test.txt: `relative/path<TAB>label`, a photo a line. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in split.parts().items():
        lines = [f"{part.name_of(photo)}\t{photo.label}\n" for photo in part.photos]
        durable.replace(folder / f"{name}.txt", [line.encode() for line in lines])


def has_lists(folder: Path) -> bool:
    """Whether all three lists are there."""
    return all((folder / f"{name}.txt").is_file() for name in PARTS)


def read_lists(folder: Path | str, root: Path | str, *, skip_gone: bool = False) -> Split:
    """The split that `write_lists` wrote for the photos below `root`. The labels are those of the three lists.

    Raises DatasetInvalid: a list is missing or cannot be read, a photo is gone (unless those are to be skipped) or in
    two lists, train lacks a class.
    """
    folder, root = Path(folder), Path(root)
    known = _spellings(root)
    lists = {name: list(_read_list(folder / f"{name}.txt", root, known)) for name in PARTS}
    gone = [photo.path for part in lists.values() for photo in part if not is_listed(photo.path)]
    if gone and not skip_gone:
        raise DatasetInvalid(
            f"{folder}: {len(gone)} listed photos are not below {root}, the first is {gone[0].relative_to(root)}. "
            "Name the folder that was split, or split again."
        )
    lists = {name: [photo for photo in part if photo.path not in gone] for name, part in lists.items()}
    photos = [photo for part in lists.values() for photo in part]
    twice = sum(count - 1 for count in Counter(photo.path for photo in photos).values())
    if twice:
        raise DatasetInvalid(f"{folder}: {twice} photos are listed twice. A photo belongs to one part; split again.")
    return _checked(Dataset(root, (), tuple(sorted({photo.label for photo in photos}))), lists)


def split_of_folders(dataset: Dataset, *, is_usable: bool = True) -> Split | None:
    """The split of a data set whose folders are named train, val and test already; None for any other.

    Raises DatasetInvalid when train lacks a class, unless it need not be usable.
    """
    parts = part_folders(dataset.root) if dataset.root.is_dir() else {}
    if not parts:
        return None
    lists: dict[str, list[Photo]] = {name: [] for name in PARTS}
    for photo in dataset.photos:
        lists[parts[dataset.root / photo.path.relative_to(dataset.root).parts[0]]].append(photo)
    return _checked(dataset, lists) if is_usable else _from_parts(dataset, lists)


def _checked(dataset: Dataset, lists: dict[str, list[Photo]]) -> Split:
    split = _from_parts(dataset, lists)
    problem = next(_only_elsewhere(split), None)
    if problem:
        raise DatasetInvalid(problem)
    return split


def _inherited(dataset: Dataset, groups: Sequence[int], previous: Split | None) -> dict[int, str]:
    """The part of each group that has one; "" for a group that is in two."""
    old = _old_parts(previous)
    parts: dict[int, set[str]] = defaultdict(set)
    for photo, group in zip(dataset.photos, groups, strict=True):
        if photo.path in old:
            parts[group].add(old[photo.path])
    return {group: names.pop() if len(names) == 1 else "" for group, names in parts.items()}


def _old_parts(previous: Split | None) -> dict[Path, str]:
    if previous is None:
        return {}
    return {photo.path: name for name, part in previous.parts().items() for photo in part.photos}


def _assigned(
    sizes: Counter[int], part_of: Mapping[int, str], *, label: str, shares: dict[str, float], seed: int
) -> dict[int, str]:
    """A part for each group of this class that has none yet."""
    waiting = [group for group in sizes if group not in part_of]
    # By label, so that a new class does not move the photos of the others.
    random = np.random.default_rng([seed, *label.encode()])
    waiting = [waiting[number] for number in random.permutation(len(waiting))]
    chosen: dict[int, str] = {}
    for later, (name, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
        have = sum(size for group, size in sizes.items() if part_of.get(group) == name)
        wanted = round(share * sizes.total()) - have
        free = waiting[later:]  # a group each for train and the parts that come after this one
        for group in _fitting(free, sizes, wanted, at_least_one=bool(share) and not have):
            chosen[group] = name
        waiting = [group for group in waiting if group not in chosen]
    return chosen | dict.fromkeys(waiting, "train")


def _fitting(free: Sequence[int], sizes: Counter[int], wanted: int, *, at_least_one: bool) -> list[int]:
    """Groups in their order as long as they fit, or the smallest where none does but one is due."""
    fitting: list[int] = []
    for group in free:
        if sizes[group] <= wanted:
            fitting.append(group)
            wanted -= sizes[group]
    if not fitting and at_least_one and free:
        return [min(free, key=lambda group: sizes[group])]
    return fitting


def _as_split(dataset: Dataset, groups: Sequence[int], part_of: dict[int, str], previous: Split | None) -> Split:
    old = _old_parts(previous)
    lists: dict[str, list[Photo]] = {name: [] for name in (*PARTS, "")}
    for photo, group in zip(dataset.photos, groups, strict=True):
        lists[old.get(photo.path, part_of[group])].append(photo)
    return _from_parts(dataset, lists)


def _from_parts(dataset: Dataset, lists: dict[str, list[Photo]]) -> Split:
    return Split(*(dataset.only(lists[name]) for name in PARTS))


def _only_elsewhere(split: Split) -> Iterator[str]:
    for label, count in split.train.count().items():
        if not count:
            others = {name: part.count()[label] for name, part in split.parts().items() if part.count()[label]}
            where = " and ".join(f"{number} in {name}" for name, number in others.items())
            yield f"{label!r} has no photos in train ({where or 'none anywhere'}): nothing can learn it. Split again."


def _without_judges(split: Split) -> Iterator[str]:
    for name in ("val", "test"):
        part = split.parts()[name]
        empty = [label for label, count in part.count().items() if not count]
        if part.photos and empty:
            shown = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
            classes, their = (
                (f"the class {shown}", "its") if len(empty) == 1 else (f"{len(empty)} classes ({shown})", "their")
            )
            yield f"{name} has no photos of {classes}: {their} figures say nothing. Add photos."


def _spellings(root: Path) -> dict[str, Path]:
    """Names as the disk has them by names in NFC: a Mac may have written them in pieces."""
    return {
        unicodedata.normalize("NFC", path.relative_to(root).as_posix()): path
        for path in root.rglob("*")
        if not path.name.isascii() or not path.parent.name.isascii()
    }


def _read_list(path: Path, root: Path, known: dict[str, Path]) -> Iterator[Photo]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetInvalid(
            f"{path} cannot be read. `dataset split` writes train.txt, val.txt and test.txt."
        ) from error
    for number, line in enumerate(filter(None, lines), 1):
        name, tab, label = line.partition("\t")
        if not tab or not name or not label.strip() or ".." in Path(name).parts or Path(name).is_absolute():
            raise DatasetInvalid(f"{path}: line {number} is not `relative/path<TAB>label`.")
        yield Photo(known.get(name, root / name), to_label(label.strip()))
