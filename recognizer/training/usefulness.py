"""Which answers to review next: the most doubtful ones, in the classes that gain most by more photos."""

from collections.abc import Mapping
from typing import Any

from classifier_core.learning_curve import LearningCurve
from recognizer.predictions.models import Prediction, Review
from recognizer.registry.models import RegisteredModel

NUM_CLASSES = 3
NEWEST = 300  # unreviewed answers of each class that are considered
NUM_ANSWERS = 24


def review_next(model: RegisteredModel, curve: LearningCurve | None, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Unreviewed answers, each with its margin, the smallest first. Only what the owner lets train."""
    found = [one for label in classes_to_grow(curve, counts) for one in _doubtful(model, label)]
    return sorted(found, key=lambda one: one["margin"])[:NUM_ANSWERS]


def classes_to_grow(curve: LearningCurve | None, counts: Mapping[str, int]) -> list[str]:
    """Those with too few photos to say anything, then those with the largest gain; without a curve the smallest."""
    if curve is None:
        return sorted(counts, key=lambda label: counts[label])[:NUM_CLASSES]
    gaining = [gain.label for gain in curve.classes if gain.mean.value > 0]
    return [*sorted(curve.too_few, key=lambda label: curve.too_few[label]), *gaining][:NUM_CLASSES]


def _doubtful(model: RegisteredModel, label: str) -> list[dict[str, Any]]:
    answers = Prediction.objects.filter(
        model=model, label=label, status=Prediction.Status.SUCCEEDED, image__train_allowed=True
    )
    reviewed = Review.objects.filter(prediction__model=model).values("prediction")
    rows = answers.exclude(pk__in=reviewed).order_by("-created_at").values_list("pk", "scores")[:NEWEST]
    return [{"prediction": str(pk), "margin": _margin(scores)} for pk, scores in rows]


def _margin(scores: list[list[Any]]) -> float:
    """How far the best score lies over the second, 0-1 (Scheffer et al. 2001, margin sampling)."""
    best, second = (*(float(score) for _, score in scores[:2]), 0.0, 0.0)[:2]
    return round(best - second, 4)
