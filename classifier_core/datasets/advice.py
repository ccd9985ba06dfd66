"""What an inspection means, in sentences that say what to do."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from classifier_core.datasets.folder import PHOTO_SUFFIXES

if TYPE_CHECKING:
    from classifier_core.datasets.inspection import Inspection

UNEVEN = 3.0  # times as many photos in the largest class
FEW = 20  # photos of a class; three of them are then in the test part
LONG = 2.0  # longer side by shorter side


def advice_on(found: "Inspection") -> list[str]:
    """One sentence or two for each thing worth doing, the most harmful first."""
    sentences = [
        *_on_files(found),
        *found.split_warnings,
        *_on_duplicates(found),
        *_on_labels(found),
        *_on_counts(found.counts),
        *_on_pixels(found),
    ]
    return sentences or ["Nothing stands out. Split the data set and train."]


def _on_files(found: "Inspection") -> Iterator[str]:
    if found.unreadable:
        count = len(found.unreadable)
        yield f"{_photos(count)} that cannot be read. `dataset clean` moves {_them(count)} out; the list says why."
    if len(found.loose) == 1:
        yield "1 photo lies beside the class folders and belongs to none: move it into one."
    elif found.loose:
        yield f"{len(found.loose)} photos lie beside the class folders and belong to none: move them into one."
    if found.passed_over:
        yield _on_passed_over(Counter(found.passed_over))


def _on_passed_over(endings: Counter[str]) -> str:
    count, most = endings.total(), endings.most_common(5)
    kinds = ", ".join(f"{number} {ending}" for ending, number in most)
    others = count - sum(number for _, number in most)
    rest = f" and {others} {'other' if others == 1 else 'others'}" if others else ""
    were = "1 file was passed over, it is" if count == 1 else f"{count} files were passed over, they are"
    return f"{were} not named like a photo ({kinds}{rest}). Photos end in {', '.join(sorted(PHOTO_SUFFIXES))}."


def _on_duplicates(found: "Inspection") -> Iterator[str]:
    across_parts = sum(pair.crosses_parts for pair in found.duplicates)
    if across_parts:
        yield (
            f"{_pairs(across_parts)} of the same photo in two parts of the split: the test has been seen in "
            "training, its figures promise too much. Split again with `dataset split`."
        )
    across_labels = sum(pair.crosses_labels for pair in found.duplicates)
    if across_labels:
        yield f"{_pairs(across_labels)} of the same photo with two labels: at least one is wrong. Decide which."
    same = len(found.duplicates)
    if same:
        exact = sum(pair.kind == "exact" for pair in found.duplicates)
        yield (
            f"{_pairs(same)} of photos that are the same or nearly ({exact} to the byte). `dataset split` keeps "
            "each pair on one side; `dataset clean --duplicates` moves one of each out."
        )


def _on_labels(found: "Inspection") -> Iterator[str]:
    if found.suspected_labels:
        count = len(found.suspected_labels)
        look = "Look at them in order: most of the first ones will be wrong, few of the last."
        yield (
            f"{_photos(count)} ({count / found.num_photos:.1%}) with a label that may be wrong. "
            f"{'Look at it.' if count == 1 else look}"
        )


def _on_counts(counts: Mapping[str, int]) -> Iterator[str]:
    most, least = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    if counts[most] >= UNEVEN * counts[least]:
        few = sum(counts[most] >= UNEVEN * count for count in counts.values())
        small = "that class" if few == 1 else f"the {few} small classes"
        yield (
            f"{least} has {_photos(counts[least])}, {most} {counts[most]}: in doubt a network will say {most}. "
            f"Collect more for {small}, or train with --balance sampling; `dataset balance` and `dataset augment` "
            "even it out on disk."
        )
    rare = [label for label, count in counts.items() if count < FEW]
    if rare:
        yield (
            f"{_listed(rare)} {'has' if len(rare) == 1 else 'have'} fewer than {FEW} photos: too few to say how well "
            f"they are recognised. Collect more."
        )


def _on_pixels(found: "Inspection") -> Iterator[str]:
    sides = np.array(found.sizes, np.float64)
    shorter, aspect = np.median(sides.min(1)), sides.max(1) / sides.min(1)
    if shorter < 64:
        size = max(32, 32 * round(shorter / 32))
        yield f"The photos are small, {shorter:.0f} pixels on the shorter side: train with --image-size {size} or so."
    if found.is_grey:
        yield "No photo has a colour: train with --channels 1."
    if found.tiny:
        them = _them(len(found.tiny))
        yield f"{_photos(len(found.tiny))} much smaller than the others: replace {them}, or move {them} out."
    if found.blurred:
        they = "it still shows" if len(found.blurred) == 1 else "they still show"
        yield f"{_photos(len(found.blurred))} much less sharp than the others: see if {they} anything."
    if (aspect >= LONG).mean() > 0.02:
        count = int((aspect >= LONG).sum())
        yield (
            f"{_photos(count)} at least {LONG:g} times as long as wide: a square crop loses "
            f"{'its' if count == 1 else 'their'} ends. Train with --fit letterbox, or move {_them(count)} out with "
            "`dataset clean --max-aspect`."
        )


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def _listed(labels: list[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
