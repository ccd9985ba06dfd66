import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from classifier_core.errors import ClassifierError
from classifier_core.metrics import (
    accuracy_interval,
    calibration_error,
    confused_pairs,
    coverage_error,
    measure,
    pr_curves,
    reliability_bins,
    roc_curves,
)

LABELS = ["apple", "banana", "cherry"]
TARGETS = np.array([0, 0, 0, 1, 1, 2])
SCORES = np.array(
    [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.5, 0.3, 0.2], [0.3, 0.3, 0.4]]
)


def random_answers(count: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 3, count)
    return targets, random.dirichlet([1, 1, 1], count) * 0.6 + np.eye(3)[targets] * 0.4


def test_figures_by_hand():
    figures = measure(TARGETS, SCORES, labels=LABELS)

    assert figures.confusion == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert (figures.num_images, figures.accuracy) == (6, pytest.approx(4 / 6))
    assert figures.macro_recall == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert figures.nll == pytest.approx(-np.log([0.8, 0.6, 0.2, 0.9, 0.3, 0.4]).mean())
    apple = figures.classes[0]
    assert (apple.label, apple.support) == ("apple", 3)
    assert (apple.precision, apple.recall, apple.specificity) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_figures_agree_with_scikit_learn():
    targets, scores = random_answers()
    figures, answers = measure(targets, scores, labels=LABELS), scores.argmax(1)

    assert figures.accuracy == pytest.approx(sklearn_metrics.accuracy_score(targets, answers))
    assert figures.macro_recall == pytest.approx(sklearn_metrics.balanced_accuracy_score(targets, answers))
    assert figures.macro_f1 == pytest.approx(sklearn_metrics.f1_score(targets, answers, average="macro"))
    assert figures.nll == pytest.approx(sklearn_metrics.log_loss(targets, scores))
    assert figures.confusion == sklearn_metrics.confusion_matrix(targets, answers).tolist()


def test_class_without_photos_does_not_count():
    figures = measure(np.array([0, 1]), np.array([[0.9, 0.1, 0], [0.1, 0.9, 0]]), labels=LABELS)

    assert figures.macro_recall == figures.macro_f1 == 1.0
    assert figures.classes[2].support == 0


def test_figures_are_plain_values():
    targets, scores = random_answers(50)

    assert json.loads(json.dumps(measure(targets, scores, labels=LABELS).to_dict()))["num_images"] == 50


def test_score_of_zero_for_the_truth_is_finite():
    assert np.isfinite(measure(np.array([0]), np.array([[0.0, 1.0]]), labels=["a", "b"]).nll)


@pytest.mark.parametrize(
    ("targets", "scores"),
    [
        (np.zeros(0, int), np.zeros((0, 3))),
        (np.array([0]), np.ones((2, 3)) / 3),
        (np.array([0]), np.ones((1, 2)) / 2),
        (np.array([3]), np.ones((1, 3)) / 3),
    ],
)
def test_what_does_not_fit_is_an_error_in_words(targets, scores):
    with pytest.raises(ClassifierError):
        measure(targets, scores, labels=LABELS)


def test_calibration_error_by_hand():
    bins = reliability_bins(np.array([0, 0, 0, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]))

    assert [one["count"] for one in bins] == [2, 2]
    assert calibration_error(bins) == pytest.approx((0.1 * 2 + 0.1 * 2) / 4)


def test_curves_agree_with_scikit_learn():
    targets, scores = random_answers()

    area = sklearn_metrics.roc_auc_score(targets == 1, scores[:, 1])
    assert roc_curves(targets, scores, labels=LABELS)["banana"]["area"] == pytest.approx(area)
    precision = sklearn_metrics.average_precision_score(targets == 1, scores[:, 1])
    assert pr_curves(targets, scores, labels=LABELS)["banana"]["area"] == pytest.approx(precision)


def test_curves_leave_out_classes_without_photos():
    assert list(roc_curves(np.array([0, 1]), np.array([[0.9, 0.1, 0], [0.1, 0.9, 0]]), labels=LABELS)) == LABELS[:2]


def test_coverage_error_by_hand():
    curve = coverage_error(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]]))

    assert curve["coverage"] == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-4)
    assert curve["error"] == pytest.approx([0, 1 / 2, 1 / 3], abs=1e-4)


def test_confused_pairs_are_the_most_frequent_mistakes():
    assert confused_pairs(measure(TARGETS, SCORES, labels=LABELS)) == [("apple", "banana", 1), ("banana", "apple", 1)]


def test_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [accuracy_interval(random.random(200) < 0.8, seed=seed) for seed in range(60)]

    assert 0.85 <= np.mean([low <= 0.8 <= high for low, high in intervals]) <= 1


def test_near_duplicates_widen_the_interval():
    is_right = np.repeat(np.random.default_rng(0).random(40) < 0.8, 10)
    groups = np.repeat(np.arange(40), 10).tolist()

    low, high = accuracy_interval(is_right)
    low_grouped, high_grouped = accuracy_interval(is_right, groups=groups)

    assert high_grouped - low_grouped > 2 * (high - low)


def test_without_mistakes_the_interval_still_knows_doubt():
    assert accuracy_interval(np.ones(100, bool)) == pytest.approx((0.025 ** (1 / 100), 1.0))
    assert accuracy_interval(np.zeros(10, bool)) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))


def test_interval_of_nothing_is_an_error():
    with pytest.raises(ClassifierError):
        accuracy_interval(np.zeros(0, bool))
