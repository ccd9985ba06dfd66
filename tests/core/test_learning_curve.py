"""What more photos would bring: known answers by hand, features that are made, and a network's."""

import numpy as np
import numpy.typing as npt
import pytest

from classifier_core.datasets.quality import held_out_scores, judging_groups, suspected_labels
from classifier_core.errors import DatasetInvalid
from classifier_core.learning_curve import SHARES, LearningCurve, PowerLaw, measure_curve

Made = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def made(counts: list[int], *, noise: float, seed: int = 0) -> Made:
    """Features of classes that lie apart, each feature as noisy."""
    random = np.random.default_rng(seed)
    targets = np.repeat(np.arange(len(counts)), counts)
    features = np.eye(len(counts))[targets].repeat(6, axis=1)
    return (features + random.normal(0, noise, features.shape)).astype(np.float32), targets


def curve_of(counts: list[int], *, noise: float, **options: object) -> LearningCurve:
    features, targets = made(counts, noise=noise)
    labels = [f"class {number}" for number in range(len(counts))]
    return measure_curve(features, targets, labels, groups=range(len(targets)), **options)  # type: ignore[arg-type]


def test_a_law_is_found_again():
    sizes = np.array([50.0, 100.0, 200.0, 400.0])
    heights = np.stack([0.9 - 0.8 * sizes**-0.5, np.full(4, 0.7)])

    law = PowerLaw.fit(sizes, heights)

    assert np.allclose(law.at(800), [0.9 - 0.8 * 800**-0.5, 0.7], atol=1e-3)
    assert np.allclose(law.c[0], 0.5)


def test_no_law_goes_over_one_or_falls():
    sizes = np.array([50.0, 100.0, 200.0, 400.0])

    law = PowerLaw.fit(sizes, np.array([[0.6, 0.8, 0.95, 1.0], [0.9, 0.8, 0.7, 0.6]]))

    assert (law.at(1e6) <= 1).all()
    assert law.at(400)[1] == law.at(800)[1]


def test_more_photos_help_most_where_few_are():
    curve = curve_of([15, 120, 120], noise=0.9)

    assert [point.photos for point in curve.measured] == [round(share * 255 * 0.8) for share in SHARES]
    assert curve.measured[0].accuracy.value < curve.measured[-1].accuracy.value
    assert curve.classes[0].label == "class 0"
    assert all(gain.own.low <= gain.own.value <= gain.own.high for gain in curve.classes)


def test_what_is_known_perfectly_gains_nothing():
    curve = curve_of([40, 40], noise=0.01)

    assert curve.half_more.value == 0
    assert {gain.mean.value for gain in curve.classes} == {0}


def test_the_same_photos_give_the_same_curve():
    assert curve_of([20, 20], noise=0.8) == curve_of([20, 20], noise=0.8)


def test_half_of_the_photos_foresee_what_all_of_them_bring():
    features, targets = made([120, 120, 120], noise=1.1)
    half = np.arange(len(targets)) % 2 == 0
    labels = ["a", "b", "c"]

    before = measure_curve(features[half], targets[half], labels, groups=range(half.sum()))
    after = measure_curve(features, targets, labels, groups=range(len(targets)))

    foreseen = next(point.accuracy for point in before.fitted if point.photos >= after.measured[-1].photos)
    assert foreseen.low <= after.measured[-1].accuracy.value <= foreseen.high


def test_a_class_with_too_few_photos_is_said_and_left_out():
    curve = curve_of([30, 30, 4], noise=0.5)

    assert curve.too_few == {"class 2": 4}
    assert {gain.label for gain in curve.classes} == {"class 0", "class 1"}
    assert curve.num_photos == 60


def test_copies_are_one_photo():
    features, targets = made([30, 30], noise=0.5)

    with pytest.raises(DatasetInvalid, match="Too few photos to say"):
        measure_curve(features, targets, ["a", "b"], groups=[number // 6 for number in range(60)])


def test_flipped_labels_are_ranked_first():
    features, targets = made([60, 60, 60], noise=0.5)
    random = np.random.default_rng(1)
    flipped = random.permutation(len(targets))[:9]
    wrong = targets.copy()
    wrong[flipped] = (targets[flipped] + random.integers(1, 3, 9)) % 3

    suspects = suspected_labels(held_out_scores(features, wrong, groups=range(180)), wrong)

    found = {suspect.index for suspect in suspects[: len(flipped)]} & set(flipped.tolist())
    assert len(found) >= 8, f"recall at the number flipped: {len(found) / len(flipped):.0%}"


def test_a_class_that_looks_all_alike_is_not_held_out_as_a_whole():
    targets = np.array([0, 0, 0, 0, 1, 1, 1, 1])

    groups = judging_groups([7, 7, 7, 7, 1, 1, 2, 3], [0, 0, 1, 2, 3, 4, 5, 6], targets)

    assert groups[0] == groups[1]
    assert len(set(groups[:4].tolist())) == 3
    assert groups[4:].tolist() == [1, 1, 2, 3]
