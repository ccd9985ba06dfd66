"""All that is worth knowing about a data set before anything is trained on it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_core.artifact import Artifact
from classifier_core.datasets.advice import advice_on
from classifier_core.datasets.duplicates import find_duplicates, group_near_duplicates
from classifier_core.datasets.features import features_of
from classifier_core.datasets.folder import Dataset, passed_over
from classifier_core.datasets.looks import Floats, Look, look_at
from classifier_core.datasets.quality import (
    blurred,
    held_out_scores,
    judging_groups,
    suspected_labels,
    tiny,
    unreadable,
)
from classifier_core.datasets.splits import Split, warnings_of
from classifier_core.errors import DatasetInvalid

LABELS_CHECKED = (
    "Each photo was named by a logistic regression on features of the other photos, and by those that look most alike."
)
MAX_POINTS = 1500  # photos drawn by t-SNE, which takes 10 s for them


@dataclass(frozen=True)
class Finding:
    """One photo to look at. `value` is pixels for tiny ones, the variance of the Laplacian for blurred ones."""

    path: str  # below the root
    label: str
    value: float = 0.0
    words: str = ""


@dataclass(frozen=True)
class Pair:
    """Two photos that show the same."""

    paths: tuple[str, str]
    labels: tuple[str, str]
    kind: str  # exact or near
    bits: int  # of 256 in which the hashes differ
    parts: tuple[str, str]  # train, val or test; empty without a split

    @property
    def crosses_labels(self) -> bool:
        """Whether one of the labels must be wrong."""
        return self.labels[0] != self.labels[1]

    @property
    def crosses_parts(self) -> bool:
        """Whether the test has been seen in training."""
        return self.parts[0] != self.parts[1]


@dataclass(frozen=True)
class SuspectedLabel:
    """A photo that the others of its data set would name otherwise."""

    path: str
    label: str
    likely: str
    label_score: float  # out-of-fold probability, 0-1
    likely_score: float


@dataclass(frozen=True)
class Point:
    """A photo's place in the t-SNE picture."""

    path: str
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Inspection:
    """What was found. Everything that the report shows is here, as plain values."""

    root: str
    fingerprint: str
    num_photos: int
    counts: dict[str, int]
    sizes: list[tuple[int, int]]  # width and height in pixels of the readable photos
    channel_mean: tuple[float, ...]  # of red, green and blue in 0-1, each photo counting the same
    channel_std: tuple[float, ...]
    is_grey: bool
    unreadable: list[Finding]
    passed_over: dict[str, int]  # files that are not named like a photo, by ending
    loose: list[str]  # photos beside the class folders, which belong to none
    duplicates: list[Pair]
    tiny: list[Finding]
    blurred: list[Finding]
    parts: dict[str, dict[str, int]]  # counts of an existing split
    split_warnings: list[str]
    features_from: str  # the architecture; empty without
    labels_checked: str  # how, or why not
    held_out_accuracy: float | None  # of what suspects labels
    suspected_labels: list[SuspectedLabel]
    points: list[Point]
    advice: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def inspect_dataset(
    dataset: Dataset, *, artifact: Artifact | None = None, split: Split | None = None, seed: int = 0
) -> Inspection:
    """Everything that can be told from the photos; with an `artifact` also what its features tell.

    Raises DatasetInvalid when no photo can be read, and what `features_of` raises.
    """
    looks = look_at(dataset.photos)
    if all(look.problem for look in looks):
        raise DatasetInvalid(f"{dataset.root}: none of the {len(looks)} photos can be read. {looks[0].problem}")
    found = _from_looks(dataset, looks, split)
    seen = _from_features(dataset, looks, artifact, seed=seed) if artifact else _WITHOUT_FEATURES
    inspection = Inspection(**found, **seen, advice=[])
    return Inspection(**{**vars(inspection), "advice": advice_on(inspection)})


def _from_looks(dataset: Dataset, looks: Sequence[Look], split: Split | None) -> dict[str, Any]:
    readable = [look for look in looks if not look.problem]
    mean, std = _channels(readable)
    return {
        "root": str(dataset.root),
        "fingerprint": dataset.fingerprint,
        "num_photos": len(dataset.photos),
        "counts": dataset.count(),
        "sizes": [(look.width, look.height) for look in readable],
        "channel_mean": mean,
        "channel_std": std,
        "is_grey": all(look.mean[0] == look.mean[1] == look.mean[2] for look in readable),
        "unreadable": [_finding(dataset, looks, number) for number in unreadable(looks)],
        "passed_over": {} if dataset.from_csv else _endings(passed_over(dataset.root)),
        "loose": [path.relative_to(dataset.root).as_posix() for path in dataset.loose],
        "duplicates": _pairs(dataset, looks, split),
        "tiny": [_finding(dataset, looks, number, looks[number].shorter_side) for number in tiny(looks)],
        "blurred": [_finding(dataset, looks, number, looks[number].sharpness) for number in blurred(looks)],
        "parts": {name: part.count() for name, part in split.parts().items()} if split else {},
        "split_warnings": warnings_of(split) if split else [],
    }


def _endings(paths: Sequence[Path]) -> dict[str, int]:
    return dict(Counter(path.suffix.lower() or path.name for path in paths))


_WITHOUT_FEATURES: dict[str, Any] = {
    "features_from": "",
    "labels_checked": "Labels were not checked: that needs a trained network, see --artifact.",
    "held_out_accuracy": None,
    "suspected_labels": [],
    "points": [],
}


def _from_features(dataset: Dataset, looks: Sequence[Look], artifact: Artifact, *, seed: int) -> dict[str, Any]:
    kept = [number for number, look in enumerate(looks) if not look.problem]
    seen = dataset.only(dataset.photos[number] for number in kept)
    features = features_of(seen.photos, artifact)
    seen_looks = [looks[number] for number in kept]
    alike = group_near_duplicates(seen.photos, looks=seen_looks, features=features)
    copies = group_near_duplicates(seen.photos, looks=seen_looks)
    groups = judging_groups(alike, copies, seen.targets)
    return {
        "features_from": artifact.architecture,
        "points": _points(seen, features, seed=seed),
        **_checked_labels(seen, features, groups, seed=seed),
    }


def _checked_labels(dataset: Dataset, features: Floats, groups: npt.NDArray[np.int64], *, seed: int) -> dict[str, Any]:
    try:
        scores = held_out_scores(features, dataset.targets, groups=groups.tolist(), seed=seed)
    except DatasetInvalid as error:
        return {"labels_checked": str(error), "held_out_accuracy": None, "suspected_labels": []}
    suspects = suspected_labels(scores, dataset.targets)
    return {
        "labels_checked": LABELS_CHECKED,
        "held_out_accuracy": float((scores.argmax(1) == dataset.targets).mean()),
        "suspected_labels": [
            SuspectedLabel(
                dataset.name_of(dataset.photos[suspect.index]),
                dataset.labels[suspect.given],
                dataset.labels[suspect.likely],
                suspect.given_score,
                suspect.likely_score,
            )
            for suspect in suspects
        ],
    }


def _points(dataset: Dataset, features: Floats, *, seed: int) -> list[Point]:
    """t-SNE (van der Maaten and Hinton 2008) of at most MAX_POINTS photos, drawn with equal chances."""
    if len(features) < 5:
        return []
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(features))[:MAX_POINTS])
    size = min(50, len(chosen), features.shape[1])
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    with threadpool_limits(1):  # on a busy machine two threads take six times as long as one
        few = PCA(size, random_state=seed).fit_transform(features[chosen])
        places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(few)
    photos = [dataset.photos[number] for number in chosen]
    return [
        Point(dataset.name_of(photo), photo.label, round(float(x), 2), round(float(y), 2))
        for photo, (x, y) in zip(photos, places, strict=True)
    ]


def _channels(looks: Sequence[Look]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean = np.mean([look.mean for look in looks], axis=0)
    mean_square = np.mean([look.mean_square for look in looks], axis=0)
    std = np.sqrt(np.maximum(mean_square - mean**2, 0))
    return tuple(round(float(value), 4) for value in mean), tuple(round(float(value), 4) for value in std)


def _finding(dataset: Dataset, looks: Sequence[Look], number: int, value: float = 0.0) -> Finding:
    photo = dataset.photos[number]
    return Finding(dataset.name_of(photo), photo.label, round(float(value), 2), looks[number].problem)


def _pairs(dataset: Dataset, looks: Sequence[Look], split: Split | None) -> list[Pair]:
    parts: dict[Path, str] = {}
    for name, part in split.parts().items() if split else ():
        parts |= {photo.path: name for photo in part.photos}
    pairs = []
    for pair in find_duplicates(looks):
        first, second = dataset.photos[pair.first], dataset.photos[pair.second]
        pairs.append(
            Pair(
                (dataset.name_of(first), dataset.name_of(second)),
                (first.label, second.label),
                pair.kind,
                pair.bits,
                (parts.get(first.path, ""), parts.get(second.path, "")),
            )
        )
    return pairs
