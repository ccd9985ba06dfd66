"""Which photos to look at again: unreadable, tiny, blurred, or perhaps with the wrong label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from classifier_core.datasets.looks import Floats, Look, in_progress
from classifier_core.errors import DatasetInvalid

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

SMALL_SIDE = 64  # pixels: below it even a person may need a second look
MAX_DEVIATIONS = 3.0  # below the median, of the logarithm of sharpness; about 1 in 700 of an even set
LEAST_BLUR = 4.0  # times below the median, at least: in even sets (digits) the deviations mean nothing
SMOOTHEST = 1.0  # variance of the Laplacian below which a photo shows next to nothing
MAX_FOLDS = 5
MAX_DIRECTIONS = 128
# Features have length 1 here; with this strength held-out accuracy on shop photos is within a point of the best.
INVERSE_REGULARISATION = 30.0
NEIGHBOURS = 15
NEARNESS = 8.0  # what a cosine counts for, as an exponent
MOST_OF_A_CLASS = 0.5  # of its photos in one group
MIN_LEAD = 0.2  # of another class's score over the given one's, before a label is suspected
_BLOCK = 512  # photos compared with all others at a time


@dataclass(frozen=True)
class Suspect:
    """A photo whose label the others of its data set contradict."""

    index: int  # position of the photo
    given: int  # class index
    likely: int
    given_score: float  # out-of-fold probability, 0-1
    likely_score: float


def unreadable(looks: Sequence[Look]) -> list[int]:
    """The positions of files that are no picture that can be read."""
    return [number for number, look in enumerate(looks) if look.problem]


def tiny(looks: Sequence[Look]) -> list[int]:
    """Photos under 64 pixels and under half of what is usual in this set, the smallest first."""
    sides = {number: look.shorter_side for number, look in enumerate(looks) if not look.problem}
    limit = min(SMALL_SIDE, float(np.median([*sides.values()])) / 2) if sides else 0
    return sorted((number for number, side in sides.items() if side < limit), key=lambda number: sides[number])


def blurred(looks: Sequence[Look]) -> list[int]:
    """Photos far less sharp than the set's median, the most blurred first.

    Sharpness is the variance of the Laplacian; its logarithm is compared, by the median absolute deviation (1.4826
    times it is the standard deviation of a normal distribution), because a set of plain backgrounds has low values
    that mean nothing.
    """
    readable = [number for number, look in enumerate(looks) if not look.problem]
    if not readable:
        return []
    values = np.log([max(looks[number].sharpness, 1e-3) for number in readable])
    spread = max(1.4826 * float(np.median(np.abs(values - np.median(values)))), np.log(LEAST_BLUR) / MAX_DEVIATIONS)
    limit = max(float(np.median(values)) - MAX_DEVIATIONS * spread, np.log(SMOOTHEST))
    return [readable[place] for place in np.argsort(values) if values[place] < limit]


def held_out_scores(
    features: Floats, targets: npt.NDArray[np.int64], *, groups: Sequence[int], seed: int = 0
) -> npt.NDArray[np.float64]:
    """Each photo's class scores [N, K] by two judges that did not see it or its near-duplicates: their mean.

    One is a logistic regression on the other photos, the other asks the photos that look most alike: each finds wrong
    labels that the other misses. `features` is float32 [N, F]; `targets` are class indices 0 to K-1. Raises
    DatasetInvalid when a class has only one group of photos.
    """
    num_folds = _num_folds(targets, groups)
    regression = _regression_scores(reduced(features, seed), targets, groups, num_folds=num_folds, seed=seed)
    return (regression + neighbour_scores(features, targets, groups=groups)) / 2


def judging_groups(
    groups: Sequence[int], copies: Sequence[int], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The groups for checking labels: `groups` of what looks alike, but where one holds most of a class its `copies`.

    Held out together, such a group (one thing before one background) would leave nobody who knows the class.
    """
    of_group, of_copy = np.asarray(groups, np.int64), np.asarray(copies, np.int64)
    if not len(targets):
        return of_group
    pairs, counts = np.unique(np.stack([of_group, targets]), axis=1, return_counts=True)
    shares = np.zeros(of_group.max() + 1)
    np.maximum.at(shares, pairs[0], counts / np.bincount(targets)[pairs[1]])
    return np.where(shares[of_group] > MOST_OF_A_CLASS, of_group.max() + 1 + of_copy, of_group)


def _regression_scores(
    units: Floats, targets: npt.NDArray[np.int64], groups: Sequence[int], *, num_folds: int, seed: int
) -> npt.NDArray[np.float64]:
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    scores = np.zeros((len(targets), int(targets.max()) + 1))
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(units, targets, groups)
    with threadpool_limits(1):  # the matrices are small: on a busy machine several threads take five times as long
        for train, held_out in in_progress(folds, "Checking labels", total=num_folds):
            seen = np.ix_(held_out, np.unique(targets[train]))
            scores[seen] = fitted(units[train], targets[train]).predict_proba(units[held_out])
    return scores


def neighbour_scores(
    features: Floats, targets: npt.NDArray[np.int64], *, groups: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Each photo's class scores [N, K] by the labels of the most alike photos of other groups, the nearer the more."""
    units = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    units -= units.mean(0)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-6)
    of_group, classes = np.asarray(groups), np.eye(int(targets.max()) + 1)
    scores = [_asked(units, start, of_group=of_group, votes=classes[targets]) for start in range(0, len(units), _BLOCK)]
    return np.concatenate(scores)


def _asked(
    units: Floats, start: int, *, of_group: npt.NDArray[np.int64], votes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    block = slice(start, start + _BLOCK)
    cosines = units[block] @ units.T
    cosines[of_group[block, None] == of_group] = -1
    nearest = np.argpartition(-cosines, min(NEIGHBOURS, len(units) - 1), axis=1)[:, :NEIGHBOURS]
    weights = np.exp(NEARNESS * np.take_along_axis(cosines, nearest, axis=1))
    return np.asarray(np.einsum("nk,nkc->nc", weights / weights.sum(1, keepdims=True), votes[nearest]))


def suspected_labels(scores: npt.NDArray[np.float64], targets: npt.NDArray[np.int64]) -> list[Suspect]:
    """Photos that look like another class than theirs, the surest first.

    Ranked by how far another class leads over the given one ("normalised margin", Northcutt et al. 2021, arXiv
    1911.00068, section 3.3). Their threshold for each class is left out: on photos with 5 % of the labels flipped it
    hid one flipped label in seven.
    """
    everyone = np.arange(len(targets))
    given = scores[everyone, targets]
    others = scores.copy()
    others[everyone, targets] = -1
    likely = others.argmax(1)
    lead = others[everyone, likely] - given
    ranked = [number for number in np.argsort(-lead, kind="stable") if lead[number] >= MIN_LEAD]
    return [
        Suspect(int(one), int(targets[one]), int(likely[one]), float(given[one]), float(scores[one, likely[one]]))
        for one in ranked
    ]


def _num_folds(targets: npt.NDArray[np.int64], groups: Sequence[int]) -> int:
    pairs = np.unique(np.stack([targets, np.asarray(groups, np.int64)], axis=1), axis=0)
    fewest = int(np.bincount(pairs[:, 0]).min(initial=len(pairs)))
    if fewest < 2:
        raise DatasetInvalid(
            "Labels cannot be checked while a class has fewer than two different photos. Add photos, or take it out."
        )
    return min(MAX_FOLDS, fewest)


def reduced(features: Floats, seed: int) -> Floats:
    """The main directions of features of length 1: fitting takes a tenth of the time, and errs no more."""
    from sklearn.decomposition import PCA

    units = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    size = min(MAX_DIRECTIONS, *units.shape)
    return np.asarray(PCA(size, svd_solver="randomized", random_state=seed).fit_transform(units), np.float32)


def fitted(features: Floats, targets: npt.NDArray[np.int64]) -> "LogisticRegression":
    """The head that a frozen network gets: a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=INVERSE_REGULARISATION, max_iter=200, tol=1e-3).fit(features, targets)
