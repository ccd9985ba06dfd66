"""Photos that are the same, or nearly: by their bytes, and by a perceptual hash in all eight orientations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from classifier_core.datasets.folder import Photo
from classifier_core.datasets.looks import Floats, Look, Signs, hashes_of, in_progress, look_at, turned

# Chosen by eye on 160 pairs of shop, product and web photos: all pairs within both limits showed one object from one
# place, or one picture processed twice; of the pairs with 54 to 62 different bits about half did.
MAX_BITS = 52  # of 256
MIN_CORRELATION = 0.84  # of two 32 x 32 grey pictures
# Two people write the same 1: of two drawings this small only a copy that was saved again counts.
SMALL_SIDE = 64  # pixels
MAX_BITS_SMALL = 12
MIN_CORRELATION_SMALL = 0.98
# So few pixels may be too few to tell a copy: of 50 photos saved anew with 32 pixels the limits above know all, with
# 16 a third. These know all of 80 with 16 pixels, and 71 with 12; in 2 of 6,320 pairs of other photos they see a copy.
TINY_SIDE = 48  # pixels
MAX_BITS_TINY = 96
MIN_CORRELATION_TINY = 0.6
# Pooled features of a network trained on ImageNet, centred (see `_alike_features`). By eye on 40 pairs of shop photos,
# with MobileNetV2: from 0.86 up every pair is one shelf, at 0.83 nearly every one, at 0.75 half of them. With
# EfficientNet-Lite0 this finds 322 pairs among 780 such photos, each of one class, and 130 of the 168 of MobileNetV2.
MIN_COSINE = 0.85

_BLOCK = 512  # photos compared with all others at a time: 512 x 20,000 float32 take 40 MB

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class DuplicatePair:
    """Two photos, by their positions, that show the same."""

    first: int
    second: int
    kind: Literal["exact", "near"]
    bits: int  # in which the hashes differ, 0-256


def find_duplicates(looks: Sequence[Look], *, num_new: int | None = None) -> list[DuplicatePair]:
    """All pairs of photos that are the same or nearly, the most alike first. Unreadable photos have only exact ones.

    With `num_new` only near ones with one of the so many first. Turned and mirrored copies count. Takes seconds for
    some thousand photos; the time grows with the square, or with how many are new.
    """
    exact = [DuplicatePair(first, second, "exact", 0) for first, second in _same_bytes(looks)]
    near = _near_pairs(looks, len(looks) if num_new is None else num_new)
    return sorted([*exact, *near], key=lambda pair: (pair.kind, pair.bits, pair.first, pair.second))


def group_near_duplicates(
    photos: Sequence[Photo], *, looks: Sequence[Look] | None = None, features: Floats | None = None
) -> list[int]:
    """A group number for each photo; photos in one group must not be on both sides of a split.

    `looks` spares a second look at the files. With pooled `features` [N, F] of a network, photos that it finds almost
    the same (one shelf from two sides) are grouped, too; rows of photos that are not `is_comparable` are not read.
    """
    looks = look_at(photos) if looks is None else looks
    pairs = [(pair.first, pair.second) for pair in find_duplicates(looks)]
    if features is not None:
        compared = [number for number, look in enumerate(looks) if is_comparable(look)]
        pairs += [(compared[first], compared[second]) for first, second in find_alike(features[compared])]
    return connect(pairs, len(photos))


def find_near(look: Look, others: Sequence[Look], hashes: Floats) -> int | None:
    """The position of the look that shows the same as this one, the most alike; None where there is none.

    `hashes` [N, 256] are those of the others as they stand, -1 and 1. Only those with like hashes are looked at.
    """
    if look.grey is None or not len(hashes):
        return None
    turns = hashes_of([look])[0]
    bits = (hashes.shape[1] - np.max(turns @ hashes.T, axis=0)) / 2
    for position in np.argsort(bits, kind="stable"):
        if bits[position] > MAX_BITS:
            return None
        if _is_near(look, others[position], int(bits[position])):
            return int(position)
    return None


def is_comparable(look: Look) -> bool:
    """Whether a network trained on photos can tell this one from others: not a drawing of a few pixels."""
    return look.shorter_side >= SMALL_SIDE


def connect(pairs: Sequence[tuple[int, int]], count: int) -> list[int]:
    """A group number for each of so many: those that pairs connect, also by way of others, are one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.array(pairs, np.int32).reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs), bool), (first, second)), shape=(count, count))
    return [int(number) for number in connected_components(links, directed=False)[1]]


def _same_bytes(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Each copy with the first: three copies are two pairs."""
    first: dict[str, int] = {}
    for number, look in enumerate(looks):
        if look.sha256 and first.setdefault(look.sha256, number) != number:
            yield first[look.sha256], number


def _near_pairs(looks: Sequence[Look], num_new: int) -> Iterator[DuplicatePair]:
    readable = np.array([number for number, look in enumerate(looks) if look.grey is not None], np.intp)
    num_new = int(np.searchsorted(readable, num_new))
    if len(readable) < 2:
        return
    hashes = hashes_of(looks)
    starts = range(0, num_new, _BLOCK)
    for start in in_progress(starts, "Comparing photos", total=len(starts)):
        for first, second, bits in zip(*_alike_hashes(hashes, start, min(start + _BLOCK, num_new)), strict=True):
            pair = int(readable[first]), int(readable[second])
            if _is_near(looks[pair[0]], looks[pair[1]], int(bits)):
                yield DuplicatePair(*pair, "near", int(bits))


def _alike_hashes(hashes: Signs, start: int, end: int) -> tuple[Indices, Indices, Floats]:
    """Pairs of one block with all later photos, and in how many bits they differ, over the eight orientations."""
    block = hashes[start:end, 0].astype(np.float32)  # the product of integers is many times slower
    size = hashes.shape[2]
    agreement = block @ hashes[start:, 0].T.astype(np.float32)
    for orientation in range(1, 8):
        np.maximum(agreement, block @ hashes[start:, orientation].T.astype(np.float32), out=agreement)
    bits = (size - agreement) / 2
    first, second = np.nonzero(np.triu(bits <= MAX_BITS, 1))
    return first + start, second + start, bits[first, second]


def _is_near(one: Look, other: Look, bits: int) -> bool:
    if one.sha256 == other.sha256:
        return False  # exact duplicates are found by their bytes
    if max(one.shorter_side, other.shorter_side) < SMALL_SIDE:
        return bits <= MAX_BITS_SMALL and _correlation(one, other) >= MIN_CORRELATION_SMALL
    return _correlation(one, other) >= MIN_CORRELATION


def find_doubtful(looks: Sequence[Look], *, num_new: int) -> list[tuple[int, int]]:
    """Pairs of a tiny picture and a photo, one of them among the first `num_new`, that may be copies or may not.

    Pairs that `find_duplicates` is sure of are among them. The first of a pair comes first in `looks`.
    """
    readable = [number for number, look in enumerate(looks) if look.grey is not None]
    tiny = [number for number in readable if looks[number].shorter_side < TINY_SIDE]
    photos = [number for number in readable if is_comparable(looks[number])]
    if not tiny or not photos:
        return []
    hashes = hashes_of([looks[number] for number in photos])[:, 0].astype(np.float32)
    greys = _directions(np.stack([grey for number in photos if (grey := looks[number].grey) is not None]))
    pairs = [
        (min(one, photos[at]), max(one, photos[at])) for one in tiny for at in _may_show(looks[one], hashes, greys)
    ]
    return [pair for pair in pairs if pair[0] < num_new]


def _may_show(tiny: Look, hashes: Floats, greys: Floats) -> Indices:
    """The positions of the photos that this may be a copy of."""
    bits = (hashes.shape[1] - np.max(hashes_of([tiny])[0].astype(np.float32) @ hashes.T, axis=0)) / 2
    correlation = np.max(_directions(turned(tiny.grey)) @ greys.T, axis=0)  # type: ignore[arg-type]
    return np.flatnonzero((bits <= MAX_BITS_TINY) & (correlation >= MIN_CORRELATION_TINY))


def _directions(greys: npt.NDArray[Any]) -> Floats:
    """Grey pictures [N, side, side] as rows of length 1 about their mean: a product of two is their correlation."""
    rows = greys.astype(np.float32).reshape(len(greys), -1)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)  # type: ignore[no-any-return]


def _correlation(one: Look, other: Look) -> float:
    """The highest over the eight orientations, -1 to 1; 0 for a picture of one colour."""
    if one.grey is None or other.grey is None:
        return 0.0
    return float(np.max(_directions(turned(other.grey)) @ _directions(one.grey[None])[0]))


def find_alike(features: Floats, *, num_new: int | None = None) -> list[tuple[int, int]]:
    """Pairs whose features point the same way, seen from the middle of all; with `num_new` those with a new one.

    From the origin all photos of shelves lie in one direction; from their mean only those of one shelf do.
    """
    if not len(features):
        return []
    centred = features - features.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    num_new = len(features) if num_new is None else num_new
    pairs: list[tuple[int, int]] = []
    for start in range(0, num_new, _BLOCK):
        close = np.triu(centred[start : min(start + _BLOCK, num_new)] @ centred[start:].T >= MIN_COSINE, 1)
        pairs += [(int(first) + start, int(second) + start) for first, second in np.argwhere(close)]
    return pairs
