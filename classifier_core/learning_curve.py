"""Have I labelled enough? What a head on frozen features learns from parts of one's photos, and what more would bring.

The curve is an inverse power law, accuracy = a - b * n^-c, fitted by least squares that count larger n more: Figueroa
et al. 2012, Predicting sample size required for classification performance, BMC Medical Informatics and Decision Making
12:8. That errors of networks fall this way: Hestness et al. 2017, arXiv 1712.00409.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_core.datasets.looks import Floats
from classifier_core.datasets.quality import fitted, reduced
from classifier_core.errors import DatasetInvalid

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)  # of all photos that may train
CLASS_SHARES = (0.35, 0.65, 1.0)  # of one class's, while the others keep all
FOLDS = 5
FEWEST = 2 * FOLDS  # different photos of a class: with fewer a fold has one to judge it by, or none
ROUNDS = 3  # of folds and lots anew
MANY = 2000  # photos from which two rounds do: luck is less, and a fit takes longer
MAX_CLASSES = 20  # that are looked at one by one: those with the fewest photos
MORE_PHOTOS = 20  # of one class
HALF_MORE = 1.5
DRAWS = 400  # of the bootstrap
INTERVAL = (5, 95)  # percentiles: nine times in ten the truth should lie between
EXPONENTS = np.linspace(0.2, 1.5, 14)

Say = Callable[[str], None]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Range:
    """A share of photos (0-1), or how it grows, and where it probably lies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """So many photos, and the share of held-out photos that is named right after learning from them."""

    photos: int
    accuracy: Range


@dataclass(frozen=True)
class ClassGain:
    """What MORE_PHOTOS more photos of one class would probably bring."""

    label: str
    photos: int
    recall: float  # with all photos
    own: Range  # of its recall
    mean: Range  # of the mean recall over all classes


@dataclass(frozen=True)
class LearningCurve:
    """Measured points, the curve through them and beyond, and the gain of more photos. The largest class gain first."""

    num_photos: int
    num_fits: int
    measured: list[Point]
    fitted: list[Point]
    half_more: Range  # the gain of HALF_MORE times as many photos, shared among classes as now
    classes: list[ClassGain]
    too_few: dict[str, int]  # different photos of classes of which nothing can be said

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure_curve(
    features: Floats,
    targets: npt.NDArray[np.int64],
    labels: Sequence[str],
    *,
    groups: Sequence[int],
    seed: int = 0,
    say: Say = lambda _: None,
) -> LearningCurve:
    """Train the head on parts of the photos, judge it by held-out ones, and extrapolate.

    Near-duplicates, those of one group, are never on both sides. Raises DatasetInvalid when fewer than two classes have
    FEWEST different photos.
    """
    of_group = np.unique(np.asarray(groups), return_inverse=True)[1]
    different = {label: len(np.unique(of_group[targets == number])) for number, label in enumerate(labels)}
    enough = [number for number, label in enumerate(labels) if different[label] >= FEWEST]
    if len(enough) < 2:
        raise DatasetInvalid(
            f"Too few photos to say what more would bring: two classes with {FEWEST} different photos are needed."
        )
    kept = np.isin(targets, enough)
    trial = _Trial(reduced(features, seed)[kept], np.searchsorted(enough, targets[kept]), of_group[kept], seed, say)
    trial.run()
    too_few = {label: number for label, number in different.items() if number < FEWEST}
    return _told(trial, [labels[number] for number in enough], too_few)


class _Trial:
    """Which held-out photos were named right, after learning from which part of the others."""

    def __init__(self, features: Floats, targets: npt.NDArray[np.int64], groups: Indices, seed: int, say: Say) -> None:
        self.features, self.targets, self.groups, self._seed, self._say = features, targets, groups, seed, say
        self.counts = np.bincount(targets)
        self.rounds = ROUNDS if len(targets) < MANY else ROUNDS - 1
        self.looked_at = np.argsort(self.counts, kind="stable")[:MAX_CLASSES]
        shape = (self.rounds, len(targets))
        self.hits = {share: np.zeros(shape, bool) for share in SHARES}
        self.class_hits = {
            (int(number), share): self.hits[1.0] if share == 1 else np.zeros(shape, bool)
            for number in self.looked_at
            for share in CLASS_SHARES
        }
        self.num_fits = 0

    def run(self) -> None:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the matrices are small: several threads wait for each other
            for number, (turn, train, judged) in enumerate(self._folds(), 1):
                self._say(f"Learning from parts of the photos: {number} of {self.rounds * FOLDS}")
                self._fold(turn, train, judged)

    def _folds(self) -> Iterator[tuple[int, Indices, Indices]]:
        from sklearn.model_selection import StratifiedGroupKFold

        for turn in range(self.rounds):
            folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=self._seed + turn)
            for train, judged in folds.split(self.features, self.targets, self.groups):
                yield turn, train, judged

    def _fold(self, turn: int, train: Indices, judged: Indices) -> None:
        rank = self._ranks(train, seed=self._seed + turn)
        for share in SHARES:
            self.hits[share][turn, judged] = self._hits(train[rank < share], judged)
        for number in self.looked_at:
            is_other = self.targets[train] != number
            for share in CLASS_SHARES[:-1]:
                kept = train[is_other | (rank < share)]
                self.class_hits[int(number), share][turn, judged] = self._hits(kept, judged)

    def _ranks(self, train: Indices, *, seed: int) -> Numbers:
        """The place of each photo in its class, 0 to 1: near-duplicates follow each other, or a part knows them all."""
        lots = np.random.default_rng(seed).permutation(self.groups.max() + 1)[self.groups[train]]
        ranks = np.zeros(len(train))
        for number in range(len(self.counts)):
            mine = np.flatnonzero(self.targets[train] == number)
            ranks[mine[np.argsort(lots[mine], kind="stable")]] = np.arange(len(mine)) / max(len(mine), 1)
        return ranks

    def _hits(self, train: Indices, judged: Indices) -> Bools:
        self.num_fits += 1
        said = fitted(self.features[train], self.targets[train]).predict(self.features[judged])
        return np.asarray(said == self.targets[judged])


def _told(trial: _Trial, labels: Sequence[str], too_few: dict[str, int]) -> LearningCurve:
    draws = _Draws(trial)
    now = float(len(trial.targets))
    sizes = np.array([share * now * (FOLDS - 1) / FOLDS for share in SHARES])
    heights = np.stack([draws.accuracy(trial.hits[share]) for share in SHARES], axis=1)
    law = PowerLaw.fit(sizes, heights)
    ahead = np.geomspace(sizes[0], 2 * now, 24)
    gains = [_class_gain(trial, draws, int(number), labels[number]) for number in trial.looked_at]
    return LearningCurve(
        num_photos=len(trial.targets),
        num_fits=trial.num_fits,
        measured=[Point(round(n), _range(column)) for n, column in zip(sizes, heights.T, strict=True)],
        fitted=[Point(round(n), _range(law.at(n))) for n in ahead],
        half_more=_range(law.at(HALF_MORE * now) - law.at(now)),
        classes=sorted(gains, key=lambda gain: -gain.mean.value),
        too_few=too_few,
    )


def _class_gain(trial: _Trial, draws: "_Draws", number: int, label: str) -> ClassGain:
    now = float(trial.counts[number])
    sizes = np.array([share * now * (FOLDS - 1) / FOLDS for share in CLASS_SHARES])
    recalls = [draws.recalls(trial.class_hits[number, share]) for share in CLASS_SHARES]  # each [draws, K]

    def gain(heights: list[Numbers]) -> Range:
        law = PowerLaw.fit(sizes, np.stack(heights, axis=1))
        return _range(law.at(now + MORE_PHOTOS) - law.at(now))

    own, mean = gain([one[:, number] for one in recalls]), gain([one.mean(1) for one in recalls])
    return ClassGain(label, int(now), round(float(recalls[-1][0, number]), 4), own, mean)


class _Draws:
    """The bootstrap: rounds and groups of photos drawn anew. The first draw is what was measured."""

    def __init__(self, trial: _Trial) -> None:
        random = np.random.default_rng(0)
        num_groups = int(trial.groups.max()) + 1
        present = np.unique(trial.groups)
        drawn = random.multinomial(len(present), np.full(len(present), 1 / len(present)), DRAWS)
        weights = np.zeros((DRAWS + 1, num_groups))
        weights[:, present] = np.concatenate([np.ones((1, len(present))), drawn])
        self._weights = weights[:, trial.groups]  # [draws, N]
        turns = random.multinomial(trial.rounds, np.full(trial.rounds, 1 / trial.rounds), DRAWS) / trial.rounds
        self._turns = np.concatenate([np.full((1, trial.rounds), 1 / trial.rounds), turns])
        self._classes = np.eye(len(trial.counts))[trial.targets]  # [N, K]
        self._of_class = np.maximum(self._weights @ self._classes, 1e-9)

    def accuracy(self, hits: Bools) -> Numbers:
        """The share named right, [draws]."""
        return np.asarray((self._weights * (self._turns @ hits)).sum(1) / self._weights.sum(1))

    def recalls(self, hits: Bools) -> Numbers:
        """The share of each class that is named right, [draws, K]."""
        return np.asarray((self._weights * (self._turns @ hits)) @ self._classes / self._of_class)


@dataclass(frozen=True)
class PowerLaw:
    """a - b * n^-c for each draw, with a at most 1 and b at least 0: more photos never harm."""

    a: Numbers
    b: Numbers
    c: Numbers

    def at(self, n: float) -> Numbers:
        """The height at n photos, [draws]."""
        return np.asarray(self.a - self.b * n**-self.c)

    @classmethod
    def fit(cls, sizes: Numbers, heights: Numbers) -> "PowerLaw":
        """The nearest laws to heights [draws, points]; of the exponents in EXPONENTS the best one of each draw."""
        weights = np.arange(1, len(sizes) + 1) / len(sizes)
        tries = [_line(sizes**-exponent, heights, weights) for exponent in EXPONENTS]
        best = np.argmin([error for _, _, error in tries], axis=0)
        everyone = np.arange(len(heights))
        a, b = (np.stack([one[part] for one in tries])[best, everyone] for part in (0, 1))
        return cls(a, b, EXPONENTS[best])


def _line(x: Numbers, heights: Numbers, weights: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Weighted least squares of heights = a - b x within the bounds: a, b and the squared error, of each draw."""
    share = weights / weights.sum()
    middle, level = share @ x, heights @ share
    b = np.maximum(-((heights - level[:, None]) * (x - middle)) @ share / (share @ (x - middle) ** 2), 0)
    a = level + b * middle
    pinned = np.maximum(((1 - heights) * x) @ share / (share @ x**2), 0)  # where the best line would end above 1
    a, b = np.where(a > 1, 1, a), np.where(a > 1, pinned, b)
    return a, b, ((heights - a[:, None] + b[:, None] * x) ** 2) @ share


def _range(draws: Numbers) -> Range:
    low, high = np.percentile(draws[1:], INTERVAL)
    value = float(draws[0])
    return Range(round(value, 4), round(min(float(low), value), 4), round(max(float(high), value), 4))
