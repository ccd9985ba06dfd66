"""Two models on the same photos: is one better, or was it luck?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier_core.errors import ClassifierError
from classifier_core.metrics import Ints, bootstrap_interval, by_group

_LUCK = 0.05  # what luck alone brings about more often than this shows nothing


@dataclass(frozen=True)
class ClassChange:
    """What the second model gained and lost on one class against the first."""

    label: str
    support: int
    recall_a: float
    recall_b: float
    interval: tuple[float, float]  # of the difference B - A, 95 %
    gained: int  # photos only B has right
    lost: int  # photos only A has right


@dataclass(frozen=True)
class Comparison:
    """Paired: each photo counts with both answers. Differences are B minus A, as shares of the photos."""

    num_images: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: tuple[float, float]  # of the difference, 95 %
    gained: int  # photos only B has right
    lost: int  # photos only A has right
    p_value: float  # McNemar, exact: how often luck alone would give a split at least this uneven
    classes: tuple[ClassChange, ...]

    @property
    def verdict(self) -> str:
        """The outcome in a sentence."""
        if (self.interval[0] > 0 or self.interval[1] < 0) and self.p_value < _LUCK:
            return f"{'B' if self.difference > 0 else 'A'} is better; it is hardly luck (p = {self.p_value:.2g})."
        return f"No difference that these {self.num_images} photos could show (p = {self.p_value:.2g})."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"verdict": self.verdict}


def compare_answers(
    targets: Ints,
    answers_a: Ints,
    answers_b: Ints,
    *,
    labels: Sequence[str],
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two models' class indices [N] with the true ones [N].

    The interval is a percentile bootstrap over whole groups of near-duplicates. McNemar's test (McNemar 1947, exact by
    the binomial distribution) looks only at the photos that one of the two has right; it counts each by itself.

    Raises ClassifierError for no photos.
    """
    if not len(targets):
        raise ClassifierError("There are no photos to compare on. Give a folder that holds some.")
    right_a, right_b = answers_a == targets, answers_b == targets
    gains = right_b.astype(np.int64) - right_a
    gained, lost = int((gains > 0).sum()), int((gains < 0).sum())
    numbers = np.arange(len(targets)) if groups is None else np.asarray(groups)
    of_class = {label: targets == index for index, label in enumerate(labels)}
    return Comparison(
        num_images=len(targets),
        accuracy_a=float(right_a.mean()),
        accuracy_b=float(right_b.mean()),
        difference=float(gains.mean()),
        interval=_interval(gains, numbers, seed),
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost),
        classes=tuple(
            _change(label, right_a[ours], right_b[ours], interval=_interval(gains[ours], numbers[ours], seed))
            for label, ours in of_class.items()
        ),
    )


def _interval(gains: Ints, groups: Ints, seed: int) -> tuple[float, float]:
    if not len(gains):
        return -1.0, 1.0
    sizes, sums = by_group(gains, groups.tolist())
    return bootstrap_interval(sums, sizes, seed=seed) if gains.any() else _no_difference(len(sizes))


def _no_difference(num_groups: int) -> tuple[float, float]:
    """Where a bootstrap knows no doubt: the exact binomial bound for none in so many groups, both ways."""
    bound = 1 - float(0.025 ** (1 / num_groups))
    return -bound, bound


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value for these numbers of photos that only one of two models has right."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def chance_of_loss(gained: int, lost: int) -> float:
    """One-sided exact p-value (McNemar): how often luck alone would lose at least so many of these photos."""
    from scipy.stats import binomtest

    return float(binomtest(lost, gained + lost, alternative="greater").pvalue) if gained + lost else 1.0


def _change(label: str, right_a: Any, right_b: Any, *, interval: tuple[float, float]) -> ClassChange:
    return ClassChange(
        label=label,
        support=len(right_a),
        recall_a=float(right_a.mean()) if len(right_a) else 0.0,
        recall_b=float(right_b.mean()) if len(right_b) else 0.0,
        interval=interval,
        gained=int((right_b & ~right_a).sum()),
        lost=int((right_a & ~right_b).sum()),
    )
