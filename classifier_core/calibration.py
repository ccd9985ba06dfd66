"""What is fitted on photos the network was not trained on: honest scores, and when to say "none of my classes"."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classifier_core.artifact import Calibration, Thresholds
from classifier_core.engines.parity import softmax
from classifier_core.errors import ClassifierError
from classifier_core.known import MAX_VECTORS, Vectors, choose_known, known_distances
from classifier_core.metrics import Floats, Ints

TEMPERATURES = (0.05, 20.0)  # a network that needs less or more than this is broken, not miscalibrated
FALSE_ALARMS = 0.05  # share of held-out in-class photos that may be called strangers
CAUGHT = 0.95  # share of given strangers that must be
PRECISION = 0.95  # of the answers that a label's own threshold lets through

_SMALLEST = 1e-30  # of a score whose logarithm is taken
# The score catches few strangers and refuses most photos from unlike places: a fifth of the false alarms is its due.
_ALARMS_OF_SCORE = 0.2


@dataclass(frozen=True)
class Answers:
    """What a network said about N photos."""

    logits: Floats  # [N, K]
    features: Floats  # [N, F], pooled


@dataclass(frozen=True)
class Judgement:
    """What `fit_judgement` found, as `save_artifact` takes it."""

    calibration: Calibration
    thresholds: Thresholds | None = None  # both None: strangers are not told
    known_features: Vectors | None = None


def fit_judgement(
    train: Answers,
    train_targets: Ints,
    *,
    held_out: Answers,
    held_out_targets: Ints,
    labels: Sequence[str],
    strangers: Answers | None = None,
    num_known: int = MAX_VECTORS,
) -> Judgement:
    """Temperature, thresholds and known features (of `num_known` photos at most) from training and held-out photos.

    Raises ClassifierError for too few photos.
    """
    temperature = fit_temperature(held_out.logits, held_out_targets)
    known = choose_known(train.features, train_targets, limit=num_known)
    scores = softmax(held_out.logits, temperature=temperature)
    score, distance = fit_known(scores.max(1), known_distances(held_out.features, known))
    if strangers is not None:
        tops = softmax(strangers.logits, temperature=temperature).max(1)
        distance = loosened(distance, known_distances(strangers.features, known)[tops >= score], len(tops))
    label_scores = fit_label_scores(held_out_targets, scores, labels=labels)
    thresholds = Thresholds(known_score=score, known_distance=distance, label_scores=label_scores)
    return Judgement(Calibration(round(temperature, 4)), thresholds, known)


def fit_temperature(logits: Floats, targets: Ints) -> float:
    """The temperature that makes the true classes [N] most likely under logits [N, K] (Guo et al. 2017).

    Each truth counts as (N + 1) / (N + 2) sure, the rest is spread over the other classes (Platt 1999, section 2.2):
    else photos without one mistake would make every score 1. Stays within `TEMPERATURES`. Raises ClassifierError for
    no photos.
    """
    from scipy.optimize import minimize_scalar

    if not len(targets):
        raise ClassifierError("A temperature is fitted on validation photos, and there are none.")

    doubt = 1 / (len(targets) + 2)
    wanted = np.full(logits.shape, doubt / max(1, logits.shape[1] - 1))
    wanted[np.arange(len(targets)), targets] = 1 - doubt

    def loss(log_temperature: float) -> float:
        scores = softmax(logits, temperature=float(np.exp(log_temperature)))
        return -float((wanted * np.log(np.maximum(scores, _SMALLEST))).sum(1).mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def fit_known(tops: Floats, distances: Floats, *, false_alarms: float = FALSE_ALARMS) -> tuple[float, float]:
    """The lowest score and the largest distance that call at most this share of in-class photos strangers.

    `tops` [N] are calibrated top scores and `distances` [N] those to the known features, of held-out photos.
    """
    score = _rounded_down(float(np.quantile(tops, false_alarms * _ALARMS_OF_SCORE, method="lower")))
    passed = np.sort(distances[tops >= score])
    alarms_left = int(false_alarms * len(tops)) - int((tops < score).sum())
    return score, _rounded_up(float(passed[len(passed) - 1 - max(0, alarms_left)]))


def loosened(distance: float, strangers: Floats, num_strangers: int, *, caught: float = CAUGHT) -> float:
    """Halfway from `distance` to the largest one that still catches this share of strangers, where that is larger.

    In-class photos from places that no held-out photo shows lie further out than these, and other strangers than the
    given ones lie nearer: the middle of the gap leaves room for both. `strangers` are the distances of those that
    pass by their score.
    """
    may_pass = int((1 - caught) * num_strangers)
    furthest = float(np.sort(strangers)[min(may_pass, len(strangers) - 1)]) if len(strangers) else 0.0
    return max(distance, _rounded_down((distance + furthest) / 2))


def fit_label_scores(
    targets: Ints, scores: Floats, *, labels: Sequence[str], precision: float = PRECISION
) -> dict[str, float]:
    """For each label the lowest score from which on its answers reach this precision; 1 where none does.

    `scores` [N, K] are calibrated, of held-out photos.
    """
    answers, tops = scores.argmax(1), scores.max(1)
    return {
        label: _lowest_score(tops[answers == index], (targets == index)[answers == index], precision)
        for index, label in enumerate(labels)
    }


def _lowest_score(tops: Floats, is_right: npt.NDArray[np.bool_], precision: float) -> float:
    order = np.argsort(-tops, kind="stable")
    reached = np.flatnonzero(is_right[order].cumsum() / np.arange(1, len(order) + 1) >= precision)
    return _rounded_down(float(tops[order[reached[-1]]])) if len(reached) else 1.0


def _rounded_down(value: float) -> float:
    return math.floor(value * 1e4) / 1e4


def _rounded_up(value: float) -> float:
    return math.ceil(value * 1e4) / 1e4
