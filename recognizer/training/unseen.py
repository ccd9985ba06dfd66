"""Whether a version learned from the photos that it is judged on."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from recognizer.registry.models import LearnedPhoto, ModelVersion, RegisteredModel
from recognizer.training.models import Part, PhotoPlace

Learned = dict[str, Any]


def find_learned(contenders: Mapping[str, ModelVersion], photos: Collection[str]) -> dict[str, list[Learned]]:
    """Of each contender and the versions it started from: from how many of these test photos each learned.

    A copy of a photo counts as the photo. `num_learned` is None where nobody knows what a version learned from: one
    that was imported. Weights that a run took from a file are not followed.
    """
    pictures = _pictures(next(iter(contenders.values())).model)
    judges = {pictures[sha256] for sha256 in photos if sha256 in pictures}
    return {
        name: [{"version": str(one), "num_learned": _num_learned(one, pictures, judges)} for one in line_of(version)]
        for name, version in contenders.items()
    }


def line_of(version: ModelVersion) -> Iterator[ModelVersion]:
    """The version, then those whose weights it started from, and theirs."""
    waiting, known = [version], {version.pk}
    while waiting:
        one = waiting.pop(0)
        yield one
        starts = ModelVersion.objects.filter(pk__in=one.training_runs.values("start_version"))
        for start in starts.exclude(pk__in=known):
            waiting.append(start)
            known.add(start.pk)


def _pictures(model: RegisteredModel) -> dict[str, int]:
    """Of each photo of the test part and each copy of one: the number that its copies share."""
    places = PhotoPlace.objects.filter(model=model, part=Part.TEST)
    return dict(places.values_list("blob_sha256", "picture"))


def _num_learned(version: ModelVersion, pictures: Mapping[str, int], judges: Collection[int]) -> int | None:
    learned = LearnedPhoto.objects.filter(version=version)
    if not learned.exists():
        return None
    hashes = learned.values_list("blob_sha256", flat=True).iterator()
    return len({pictures[sha256] for sha256 in hashes if sha256 in pictures} & set(judges))
