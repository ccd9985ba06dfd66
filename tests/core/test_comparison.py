import json

import numpy as np
import pytest
from scipy.stats import binom

from classifier_core.comparison import compare_answers, mcnemar
from classifier_core.errors import ClassifierError

TARGETS = np.array([0, 0, 0, 1, 1, 1])
A = np.array([0, 0, 1, 1, 0, 0])
B = np.array([0, 1, 0, 1, 1, 1])


def test_figures_by_hand():
    found = compare_answers(TARGETS, A, B, labels=["a", "b"])

    assert (found.accuracy_a, found.accuracy_b) == (3 / 6, 5 / 6)
    assert found.difference == pytest.approx(2 / 6)
    assert (found.gained, found.lost) == (3, 1)
    assert [(one.label, one.gained, one.lost) for one in found.classes] == [("a", 1, 1), ("b", 2, 0)]
    assert found.p_value == pytest.approx(2 * binom.cdf(1, 4, 0.5))


def test_same_answers_are_no_difference():
    found = compare_answers(TARGETS, A, A, labels=["a", "b"])

    assert (found.difference, found.p_value) == (0, 1)
    assert found.verdict.startswith("No difference")


def test_difference_turns_around_with_the_models():
    one, other = compare_answers(TARGETS, A, B, labels=["a", "b"]), compare_answers(TARGETS, B, A, labels=["a", "b"])

    assert one.difference == -other.difference
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.p_value == other.p_value


def test_clear_difference_is_called_one():
    targets = np.zeros(200, int)
    worse = np.where(np.arange(200) < 40, 1, 0)

    found = compare_answers(targets, worse, targets, labels=["a", "b"])

    assert found.verdict.startswith("B is better")
    assert found.interval[0] > 0.1


def test_near_duplicates_count_as_one():
    targets, worse = np.zeros(40, int), np.where(np.arange(40) < 10, 1, 0)
    groups = (np.arange(40) // 10).tolist()

    assert compare_answers(targets, worse, targets, labels=["a", "b"]).interval[0] > 0
    assert compare_answers(targets, worse, targets, labels=["a", "b"], groups=groups).interval[0] == 0


def test_mcnemar_without_disagreement():
    assert mcnemar(0, 0) == 1


def test_figures_are_plain_values():
    assert json.loads(json.dumps(compare_answers(TARGETS, A, B, labels=["a", "b"]).to_dict()))["gained"] == 3


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ClassifierError):
        compare_answers(TARGETS[:0], A[:0], B[:0], labels=["a", "b"])


def test_four_photos_are_no_proof():
    targets = np.zeros(50, int)
    better = targets.copy()
    worse = np.where(np.arange(50) < 4, 1, 0)

    found = compare_answers(targets, worse, better, labels=["a", "b"])

    assert (found.gained, found.lost, found.p_value) == (4, 0, 0.125)
    assert found.interval[0] > 0
    assert "No difference" in found.verdict


def test_no_disagreement_is_no_certainty():
    found = compare_answers(np.zeros(20, int), np.zeros(20, int), np.zeros(20, int), labels=["a", "b"])

    assert found.interval == pytest.approx((-0.168, 0.168), abs=0.001)
