import numpy as np
import pytest

from classifier_core.calibration import (
    Answers,
    fit_judgement,
    fit_known,
    fit_label_scores,
    fit_temperature,
    loosened,
)
from classifier_core.engines.parity import softmax
from classifier_core.errors import ClassifierError
from classifier_core.known import KnownRule
from classifier_core.metrics import calibration_error, reliability_bins

RANDOM = np.random.default_rng(0)


def honest_logits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is right as often as it says."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(count, 4)) * 2
    targets = np.array([random.choice(4, p=row) for row in softmax(logits)])
    return logits, targets


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_temperature_undoes_a_scale(factor):
    logits, targets = honest_logits(4000)

    assert fit_temperature(logits * factor, targets) == pytest.approx(factor, rel=0.06)


def test_calibrated_scores_are_right_as_often_as_they_say():
    logits, targets = honest_logits(4000)

    before = calibration_error(reliability_bins(targets, softmax(logits * 3)))
    after = calibration_error(
        reliability_bins(targets, softmax(logits * 3, temperature=fit_temperature(logits * 3, targets)))
    )

    assert before > 0.15
    assert after < 0.02


@pytest.mark.parametrize("count", [9, 90, 900])
def test_photos_without_a_mistake_leave_a_doubt(count):
    targets = np.arange(count) % 3
    logits = 7 * np.eye(3)[targets]

    scores = softmax(logits, temperature=fit_temperature(logits, targets))

    assert scores.max(1).mean() == pytest.approx((count + 1) / (count + 2), abs=0.001)


def test_temperature_needs_photos():
    with pytest.raises(ClassifierError, match="there are none"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, int))


@pytest.mark.parametrize("count", [1, 7, 20, 100, 999])
def test_at_most_the_allowed_share_are_false_alarms(count):
    random = np.random.default_rng(count)
    tops, distances = random.random(count), random.random(count)

    score, distance = fit_known(tops, distances, false_alarms=0.05)

    refused = (tops < score) | (distances > distance)
    assert 0.05 - 2 / count < refused.mean() <= 0.05


def test_distance_is_loosened_half_way_to_the_strangers():
    strangers = np.linspace(0.5, 0.9, 101)

    distance = loosened(0.2, strangers, 101, caught=0.95)

    assert distance == pytest.approx((0.2 + 0.52) / 2, abs=0.001)  # five of 101 lie before 0.52


def test_strangers_that_are_near_tighten_nothing():
    assert loosened(0.3, np.full(50, 0.1), 50) == 0.3


def test_strangers_that_all_fail_by_score_leave_the_distance_free():
    assert loosened(0.3, np.array([0.4]), 1000) == pytest.approx(0.35, abs=0.001)
    assert loosened(0.3, np.zeros(0), 1000) == 0.3


def test_label_score_by_hand():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.3, 0.7]])
    targets = np.array([0, 0, 1, 0, 0])

    assert fit_label_scores(targets, scores, labels=["a", "b"], precision=0.9) == {"a": 0.8, "b": 1.0}
    assert fit_label_scores(targets, scores, labels=["a", "b"], precision=0.7)["a"] == 0.6


def cluster(axis: int, count: int) -> np.ndarray:
    return np.eye(6)[axis] + RANDOM.normal(size=(count, 6)) * 0.15


def test_strangers_are_told_apart_though_the_network_is_sure():
    features = np.concatenate([cluster(axis, 200) for axis in (0, 1)])
    targets = np.repeat([0, 1], 200)
    logits = features[:, :2] * 20
    strangers = Answers(np.tile([[20.0, 0]], (50, 1)), cluster(4, 50))
    train, held_out = slice(0, None, 2), slice(1, None, 2)

    found = fit_judgement(
        Answers(logits[train], features[train]),
        targets[train],
        held_out=Answers(logits[held_out], features[held_out]),
        held_out_targets=targets[held_out],
        labels=["a", "b"],
        strangers=strangers,
    )

    rule = KnownRule(found.thresholds.known_score, found.thresholds.known_distance, found.known_features)
    temperature = found.calibration.temperature
    assert rule.accepts(softmax(logits[held_out], temperature=temperature), features[held_out]).mean() >= 0.95
    assert rule.accepts(softmax(strangers.logits, temperature=temperature), strangers.features).mean() <= 0.05
