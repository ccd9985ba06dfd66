"""What a snapshot holds, in numbers: by class and part, against the previous one, and what is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recognizer.registry.sentences import marked
from recognizer.training.models import DatasetSnapshot, Part, SnapshotItem

ARROW = " → "  # between the keys of two labels; no key has one
LEAST_TRAIN, LEAST_TEST = 20, 5  # photos of a class
MOST_NAMED = 10  # small classes with a sentence each; of more one sentence names the smallest
MOST_OF_ONE = 0.5  # of a class's reviewed photos, from one uploader
LEAST_REVIEWED = 10  # photos; among fewer one uploader has half of them by chance
SAMPLE = 24  # items; sorted by hash, which is by chance
MOST_RENAMED, LEAST_RENAMED = 0.1, 5  # of a class's photos, to one other class; both, or each correction warns
JUMP_FACTOR, JUMP_POINTS = 2.0, 0.1  # of a class's share; both, or small classes jump all the time


@dataclass(frozen=True)
class Photo:
    """One item, as far as numbers tell."""

    item: int
    label: str
    part: str
    source: str
    uploader: str


@dataclass(frozen=True)
class Contents:
    """The photos of a snapshot by SHA-256, and how many of its test part were erased since."""

    photos: Mapping[str, Photo]
    num_erased_of_test: int = 0

    @cached_property
    def of_label(self) -> Counter[str]:
        return Counter(photo.label for photo in self.photos.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Photos by label and part."""
        counted = Counter((photo.label, photo.part) for photo in self.photos.values())
        return {label: {part: counted[label, part] for part in Part.values} for label in sorted(self.of_label)}

    def num_of_source(self) -> dict[str, int]:
        """Photos by source."""
        return dict(Counter(photo.source for photo in self.photos.values()))

    def labels_of(self, part: Part) -> dict[str, str]:
        """Labels by SHA-256, of one part."""
        return {sha256: photo.label for sha256, photo in self.photos.items() if photo.part == part}


def contents_of(snapshot: DatasetSnapshot) -> Contents:
    """What is in it now; of what was erased only the number is known."""
    rows = snapshot.items.alive().order_by("blob").values_list("blob_id", "pk", "label", "part", "source", "uploader")
    erased = snapshot.items.exclude(erased_at=None).filter(part=Part.TEST)
    photos = {str(row[0]): Photo(*row[1:]) for row in rows.iterator()}
    return Contents(photos, erased.count())


def difference(contents: Contents, before: Contents) -> dict[str, Any]:
    """Photos added, removed and relabelled, by class; and some of the new items, to be looked at."""
    now, then = contents.photos, before.photos
    relabelled = {ARROW.join(pair): number for pair, number in _relabelled(contents, before).items()}
    new = sorted(now.keys() - then.keys())
    return {
        "sample": [now[sha256].item for sha256 in new[:SAMPLE]],
        "added": _by_label(now[sha256] for sha256 in new),
        "removed": _by_label(then[sha256] for sha256 in then.keys() - now.keys()),
        "relabelled": dict(sorted(relabelled.items())),
    }


def _relabelled(contents: Contents, before: Contents, *, part: Part | None = None) -> Counter[tuple[str, str]]:
    """Photos that are in both, by the label that they had and the one they have now; of all parts, or of one."""
    now, then = contents.photos, before.photos
    both = (sha256 for sha256 in then.keys() & now.keys() if part is None or now[sha256].part == part)
    labels = ((then[sha256].label, now[sha256].label) for sha256 in both)
    return Counter(pair for pair in labels if pair[0] != pair[1])


def _by_label(photos: Iterator[Photo]) -> dict[str, int]:
    return dict(sorted(Counter(photo.label for photo in photos).items()))


def warnings_of(contents: Contents, before: Contents, merged: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with a snapshot that can still be used, a sentence each, in which keys of labels are marked.

    `merged` names for each label that was merged the one that it counts as.
    """
    return [
        *_too_small(contents),
        *_dominated(contents),
        *_jumps(contents, before),
        *_renamed(contents, before, merged or {}),
    ]


def _too_small(contents: Contents) -> Iterator[str]:
    counts = contents.counts()
    if len(counts) == 1:
        yield f"{marked(next(iter(counts)))} is the only class: a network needs two or more to learn from."
    for part, least in ((Part.TRAIN, LEAST_TRAIN), (Part.TEST, LEAST_TEST)):
        small = {label: parts[part] for label, parts in counts.items() if parts[part] < least}
        if len(small) > MOST_NAMED:
            yield _too_small_in(part, small, least)
            continue
        for label, number in small.items():
            yield f"{marked(label)} has {number} photos in {part}; fewer than {least} say little. Add some."


def _too_small_in(part: Part, small: Mapping[str, int], least: int) -> str:
    """One sentence for many classes, the smallest first."""
    smallest = sorted(small, key=lambda label: small[label])[:MOST_NAMED]
    named = ", ".join(f"{marked(label)} {small[label]}" for label in smallest)
    return (
        f"{len(small)} classes have fewer than {least} photos in {part}, which say little: {named} and "
        f"{len(small) - MOST_NAMED} more. Add some."
    )


def _dominated(contents: Contents) -> Iterator[str]:
    of_label: dict[str, Counter[str]] = defaultdict(Counter)
    for photo in contents.photos.values():
        if photo.source == SnapshotItem.Source.REVIEW:
            of_label[photo.label][photo.uploader] += 1
    for label, uploaders in sorted(of_label.items()):
        most = max((number for uploader, number in uploaders.items() if uploader), default=0)
        share = most / uploaders.total()
        if uploaders.total() >= LEAST_REVIEWED and share > MOST_OF_ONE:
            yield (
                f"One uploader gave {share:.0%} of the reviewed photos of {marked(label)}: "
                "it may learn their camera and room. Cap photos per uploader."
            )


def _jumps(contents: Contents, before: Contents) -> Iterator[str]:
    if not before.photos:
        return
    for label in sorted(before.of_label):  # of a class that is new, any share is
        now = contents.of_label[label] / max(1, len(contents.photos))
        then = before.of_label[label] / len(before.photos)
        low, high = sorted((now, then))
        if high - low > JUMP_POINTS and high > JUMP_FACTOR * low:
            shares = f"from {then:.0%} to {now:.0%} of all photos"
            yield f"{marked(label)} went {shares} since the previous snapshot. Look why."


def _renamed(contents: Contents, before: Contents, merged: Mapping[str, str]) -> Iterator[str]:
    """Mistakes that may reach the test part, too: a gate that judges by them would praise who makes them."""
    of_test = _relabelled(contents, before, part=Part.TEST)
    for (old, new), number in sorted(_relabelled(contents, before).items()):
        is_much = number >= LEAST_RENAMED and number > MOST_RENAMED * before.of_label[old]
        if is_much and merged.get(old) != new:
            judging = f", {of_test[old, new]} of them where they judge" if of_test[old, new] else ""
            yield (
                f"{number} of {before.of_label[old]} photos of {marked(old)} are called {marked(new)} since the "
                f"previous snapshot{judging}. Look whether that is meant."
            )
