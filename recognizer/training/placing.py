"""The part of the split that each photo of a model belongs to: given once, by group, and kept."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classifier_core.datasets.duplicates import connect, find_alike, find_doubtful, find_duplicates, is_comparable
from classifier_core.datasets.looks import Floats, Look
from classifier_core.datasets.splits import assign_parts
from recognizer.registry.models import RegisteredModel
from recognizer.training.looking import load_looks
from recognizer.training.models import Part, PhotoPlace
from recognizer.training.options import SnapshotOptions

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Place:
    """Where a photo belongs. Part is empty for a newcomer that nothing says it of.

    It is BRIDGE when two parts claim it, or when it is too small to tell whether it is a copy of a test photo.
    """

    group: int  # photos of one group show one thing
    picture: int  # photos of one picture are copies
    part: str


BRIDGE = "bridge"


def places_of(model: RegisteredModel) -> dict[str, Place]:
    """The stored places by SHA-256, the oldest first."""
    rows = PhotoPlace.objects.filter(model=model).order_by("pk")
    columns = ("blob_sha256", "group", "picture", "part")
    return {sha256: Place(*rest) for sha256, *rest in rows.values_list(*columns).iterator()}


def place_newcomers(stored: Mapping[str, Place], newcomers: Sequence[str]) -> dict[str, Place]:
    """A place for each newcomer with a readable look, by the stored photos and newcomers that it resembles.

    Their numbers depend only on what is stored and on the order of the newcomers.
    """
    if not newcomers:
        return {}
    looks = load_looks([*newcomers, *stored])
    new = [sha256 for sha256 in newcomers if sha256 in looks and not looks[sha256][0].problem]
    old = [sha256 for sha256 in stored if sha256 in looks and not looks[sha256][0].problem]
    if not new:
        return {}
    places = [stored[sha256] for sha256 in old]
    compared = [looks[sha256] for sha256 in (*new, *old)]
    copies, alike = _pairs(compared, num_new=len(new))
    unsure, doubtful = _doubts([look for look, _ in compared], copies, places)
    alike = [*alike, *doubtful]
    pictures = _numbers(copies, len(new), [place.picture for place in places], _first_free(stored, "picture"))
    groups = connect(_among([*copies, *alike], len(new)), len(new))
    claims = _claims([*copies, *alike], groups, places)
    numbered: dict[int, int] = {}
    free = _first_free(stored, "group")
    for group in groups:
        numbered.setdefault(group, min((place.group for place in claims[group]), default=free + len(numbered)))
    return {
        sha256: Place(numbered[group], picture, BRIDGE if number in unsure else _part(claims[group]))
        for number, (sha256, group, picture) in enumerate(zip(new, groups, pictures, strict=True))
    }


def _pairs(looks: Sequence[tuple[Look, Floats | None]], *, num_new: int) -> tuple[Pairs, Pairs]:
    """Copies, and photos that a network finds almost the same; each pair with a newcomer, which comes first."""
    copies = [(pair.first, pair.second) for pair in find_duplicates([look for look, _ in looks], num_new=num_new)]
    seen = [number for number, (look, features) in enumerate(looks) if features is not None and is_comparable(look)]
    if not seen:
        return copies, []
    features = np.stack([found for look, found in looks if found is not None and is_comparable(look)])
    alike = find_alike(features, num_new=sum(number < num_new for number in seen))
    return copies, [(seen[first], seen[second]) for first, second in alike]


def _doubts(looks: Sequence[Look], copies: Pairs, places: Sequence[Place]) -> tuple[set[int], Pairs]:
    """The tiny newcomers that may be copies of a test photo, and the other pairs that may be copies."""
    num_new = len(looks) - len(places)
    doubtful = find_doubtful(looks, num_new=num_new)
    is_test = [False] * num_new + [place.part == Part.TEST for place in places]
    of_test = {pair for pair in doubtful if is_test[pair[1]] and not is_comparable(looks[pair[0]])}
    known = {first for first, second in copies if second >= num_new}
    return {first for first, _ in of_test} - known, [pair for pair in doubtful if pair not in of_test]


def _among(pairs: Pairs, num_new: int) -> list[tuple[int, int]]:
    return [pair for pair in pairs if pair[1] < num_new]


def _numbers(pairs: Pairs, num_new: int, stored: Sequence[int], free: int) -> list[int]:
    """For each newcomer the lowest number of a stored photo that it is connected to, else a new one."""
    sets = connect(_among(pairs, num_new), num_new)
    known: dict[int, int] = {}
    for first, second in pairs:
        if second >= num_new:
            number = stored[second - num_new]
            known[sets[first]] = min(number, known.get(sets[first], number))
    for one in sets:
        known.setdefault(one, free + len(known))
    return [known[one] for one in sets]


def _claims(pairs: Pairs, groups: Sequence[int], places: Sequence[Place]) -> Mapping[int, list[Place]]:
    """The stored places that each group of newcomers resembles."""
    claims: dict[int, list[Place]] = defaultdict(list)
    for first, second in pairs:
        if second >= len(groups):
            claims[groups[first]].append(places[second - len(groups)])
    return claims


def _part(claims: Iterable[Place]) -> str:
    parts = {place.part for place in claims}
    return BRIDGE if len(parts) > 1 else next(iter(parts), "")


def _first_free(stored: Mapping[str, Place], name: str) -> int:
    return max((getattr(place, name) for place in stored.values()), default=0) + 1


def with_parts(places: Mapping[str, Place], labels: Mapping[str, str], options: SnapshotOptions) -> dict[str, Place]:
    """The places of photos with these labels, each with a part: its group's, else one by its class's shares.

    Raises DatasetInvalid when the shares leave nothing to train with.
    """
    photos = sorted(labels, key=lambda sha256: (labels[sha256], sha256))
    part_of = {place.group: place.part for place in places.values() if place.part}
    parts = assign_parts(
        [labels[sha256] for sha256 in photos],
        [places[sha256].group for sha256 in photos],
        part_of=part_of,
        val=options.val_share,
        test=options.test_share,
        seed=options.seed,
    )
    return {
        sha256: Place(place.group, place.picture, place.part or parts[place.group])
        for sha256, place in places.items()
        if place.part or place.group in parts
    }
