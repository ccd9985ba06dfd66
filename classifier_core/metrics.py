"""What a model got right, in figures. Confusion matrices have the true class in the row, the answer in the column."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_core.errors import ClassifierError

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]

ECE_BINS = 15  # of equal width, as in Guo et al. 2017 (arXiv 1706.04599)
BOOTSTRAP_ROUNDS = 2000
CURVE_POINTS = 200  # what a drawn curve needs; a curve of every photo would fill megabytes of JSON


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the others, each figure 0-1; 0 where nothing could be counted."""

    label: str
    support: int  # photos of this class
    precision: float  # of the answers with this label, the share that is right
    recall: float  # of the photos of this class, the share that is found
    specificity: float  # of the photos of other classes, the share that is not given this label
    f1: float  # harmonic mean of precision and recall


@dataclass(frozen=True)
class Metrics:
    """The figures for one model on one set of photos. Macro means: every class that has photos counts the same."""

    num_images: int
    accuracy: float
    macro_recall: float
    macro_f1: float
    nll: float  # mean negative log-likelihood of the true class, in nats
    ece: float  # expected calibration error, 0-1
    confusion: list[list[int]]  # [true][answered]
    classes: tuple[ClassMetrics, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure(targets: Ints, scores: Floats, *, labels: Sequence[str]) -> Metrics:
    """The figures for class indices [N] and scores [N, K] that add up to 1 in each row.

    Raises ClassifierError when there is nothing to measure or the shapes do not fit together.
    """
    _check(targets, scores, labels)
    confusion = confusion_counts(targets, scores.argmax(1), num_classes=len(labels))
    classes = _per_class(confusion, labels)
    seen = [one for one in classes if one.support]
    return Metrics(
        num_images=len(targets),
        accuracy=float(np.trace(confusion) / len(targets)),
        macro_recall=float(np.mean([one.recall for one in seen])),
        macro_f1=float(np.mean([one.f1 for one in seen])),
        nll=negative_log_likelihood(targets, scores),
        ece=calibration_error(reliability_bins(targets, scores)),
        confusion=confusion.tolist(),
        classes=classes,
    )


def confusion_counts(targets: Ints, answers: Ints, *, num_classes: int) -> npt.NDArray[np.int64]:
    """How often each class [row] was given each label [column]."""
    flat = np.bincount(targets.astype(np.int64) * num_classes + answers, minlength=num_classes**2)
    return flat.astype(np.int64).reshape(num_classes, num_classes)


def negative_log_likelihood(targets: Ints, scores: Floats) -> float:
    """Mean over the photos, in nats; a score of zero counts as the smallest number above it."""
    of_truth = scores[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float64).tiny)).mean())


def reliability_bins(targets: Ints, scores: Floats, *, num_bins: int = ECE_BINS) -> list[dict[str, float]]:
    """The photos by how sure the model was: count, mean confidence and accuracy of each bin that holds any."""
    return bins_by_confidence(scores.max(1), scores.argmax(1) == targets, num_bins=num_bins)


def bins_by_confidence(
    confidence: Floats, is_right: npt.NDArray[np.bool_], *, num_bins: int = ECE_BINS
) -> list[dict[str, float]]:
    """`reliability_bins` of answers that are known to be right or wrong: top scores [N] and whether each is right."""
    numbers = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    return [
        {
            "count": int((numbers == number).sum()),
            "confidence": float(confidence[numbers == number].mean()),
            "accuracy": float(is_right[numbers == number].mean()),
        }
        for number in np.unique(numbers)
    ]


def calibration_error(bins: Sequence[Mapping[str, float]]) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap of confidence and accuracy, weighted by photos."""
    total = sum(one["count"] for one in bins)
    return float(sum(one["count"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / total)


def roc_curves(targets: Ints, scores: Floats, *, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each class with photos of it and of others: false and true positive rates, and the area under them."""
    from sklearn.metrics import auc, roc_curve

    curves = {}
    for index in _two_sided(targets, labels):
        false_positive, true_positive, _ = roc_curve(targets == index, scores[:, index])
        area = float(auc(false_positive, true_positive))
        curves[labels[index]] = {"x": _thinned(false_positive), "y": _thinned(true_positive), "area": area}
    return curves


def pr_curves(targets: Ints, scores: Floats, *, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each class with photos of it and of others: recall, precision, and the average precision as area."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    curves = {}
    for index in _two_sided(targets, labels):
        precision, recall, _ = precision_recall_curve(targets == index, scores[:, index])
        area = float(average_precision_score(targets == index, scores[:, index]))
        curves[labels[index]] = {"x": _thinned(recall[::-1]), "y": _thinned(precision[::-1]), "area": area}
    return curves


def coverage_error(targets: Ints, scores: Floats, *, sureness: Floats | None = None) -> dict[str, list[float]]:
    """The error among the answers kept, when only the surest share of all photos is answered.

    Sure by the top score, or by `sureness` [N]. The risk-coverage curve of Geifman and El-Yaniv 2017 (arXiv
    1705.08500).
    """
    order = np.argsort(-(scores.max(1) if sureness is None else sureness), kind="stable")
    is_wrong = (scores.argmax(1) != targets)[order]
    answered = np.arange(1, len(order) + 1)
    return {"coverage": _thinned(answered / len(order)), "error": _thinned(is_wrong.cumsum() / answered)}


def confused_pairs(metrics: Metrics, *, limit: int = 10) -> list[tuple[str, str, int]]:
    """The mistakes made most often: true label, label given, how many photos."""
    labels = [one.label for one in metrics.classes]
    pairs = [
        (labels[row], labels[column], count)
        for row, counts in enumerate(metrics.confusion)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:limit]


def accuracy_interval(
    is_right: npt.NDArray[np.bool_], *, groups: Sequence[int] | None = None, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Where the accuracy lies with this confidence: percentile bootstrap over whole groups of near-duplicates.

    Without a single mistake (or hit) a bootstrap knows no doubt: there, the exact binomial bound for as many trials as
    there are groups. Raises ClassifierError for no photos.
    """
    if not len(is_right):
        raise ClassifierError("There are no photos to measure. Give a folder that holds some.")
    sizes, hits = by_group(is_right, groups)
    if hits.sum() in (0, sizes.sum()):
        doubt = ((1 - confidence) / 2) ** (1 / len(sizes))
        return (doubt, 1.0) if hits.sum() else (0.0, 1 - doubt)
    return bootstrap_interval(hits, sizes, confidence=confidence, seed=seed)


def bootstrap_interval(
    sums: Floats | Ints, sizes: Ints, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap of a mean over groups: `sums` and `sizes` [G] are each group's total and photo count."""
    random = np.random.default_rng(seed)
    drawn = (random.integers(0, len(sizes), len(sizes)) for _ in range(BOOTSTRAP_ROUNDS))
    means = [sums[chosen].sum() / sizes[chosen].sum() for chosen in drawn]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def by_group(values: npt.NDArray[Any], groups: Sequence[int] | None) -> tuple[Ints, Ints]:
    """Size and sum of each group's values [N]; without groups, each value is its own."""
    if groups is None:
        return np.ones(len(values), np.int64), values.astype(np.int64)
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    return np.bincount(numbers), np.bincount(numbers, weights=values).round().astype(np.int64)


def _check(targets: Ints, scores: Floats, labels: Sequence[str]) -> None:
    if not len(targets):
        raise ClassifierError("There are no photos to measure. Give a folder that holds some.")
    if scores.shape != (len(targets), len(labels)):
        raise ClassifierError(
            f"Scores of shape {scores.shape} do not belong to {len(targets)} photos and {len(labels)} classes."
        )
    if not 0 <= targets.min() <= targets.max() < len(labels):
        raise ClassifierError(f"A photo has a class index outside of 0 to {len(labels) - 1}.")


def _per_class(confusion: npt.NDArray[np.int64], labels: Sequence[str]) -> tuple[ClassMetrics, ...]:
    support, answered, hits = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    others = confusion.sum() - support
    return tuple(
        ClassMetrics(
            label=label,
            support=int(support[index]),
            precision=_share(hits[index], answered[index]),
            recall=_share(hits[index], support[index]),
            specificity=_share(others[index] - (answered[index] - hits[index]), others[index]),
            f1=_share(2 * hits[index], support[index] + answered[index]),
        )
        for index, label in enumerate(labels)
    )


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0


def _two_sided(targets: Ints, labels: Sequence[str]) -> list[int]:
    counts = np.bincount(targets, minlength=len(labels))
    return [index for index, count in enumerate(counts) if 0 < count < len(targets)]


def _thinned(values: Floats) -> list[float]:
    chosen = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).round().astype(int))
    return [round(float(value), 5) for value in values[chosen]]
