import dataclasses

import numpy as np
import pytest

from classifier_core.artifact import Artifact, Thresholds, load_artifact
from classifier_core.classifier import Classifier
from classifier_core.engines import EngineOutput, EngineSpec
from classifier_core.errors import ArtifactInvalid, ClassifierError
from classifier_core.known import KnownRule, choose_known, known_distances, unit_vectors

EAST, NORTH = np.eye(2, dtype=np.float32)
WIDTH = 1024  # features of the small MobileNetV3's head
KNOWN = np.eye(6, WIDTH, dtype=np.float32)  # six directions at right angles


def test_distance_is_the_mean_over_the_five_nearest():
    known = np.stack([EAST] * 4 + [NORTH] * 3)

    assert known_distances(np.stack([EAST * 7]), known) == pytest.approx([1 / 5])


def test_distance_does_not_depend_on_length():
    known = unit_vectors(np.random.default_rng(0).normal(size=(20, 8)))
    features = np.random.default_rng(1).normal(size=(3, 8))

    assert known_distances(features * 100, known) == pytest.approx(known_distances(features, known))


def test_fewer_known_photos_than_neighbours():
    assert known_distances(np.stack([EAST]), np.stack([EAST, -EAST])) == pytest.approx([1.0])


def test_black_picture_without_features_is_far_from_all():
    assert known_distances(np.zeros((1, 2)), np.stack([EAST] * 5)) == pytest.approx([1.0])


def test_score_and_distance_must_both_agree():
    rule = KnownRule(0.5, 0.3, np.stack([EAST] * 5))
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.3]])

    assert rule.accepts(scores, np.stack([EAST, NORTH, EAST])).tolist() == [True, False, False]


def test_few_vectors_are_spread_over_the_classes():
    features, targets = np.random.default_rng(0).normal(size=(103, 4)), np.array([0] * 100 + [1] * 3)

    known = choose_known(features, targets, limit=8)

    of_small_class = unit_vectors(features[100:])
    assert len(known) == 8
    assert all(np.abs(known - one).max(1).min() < 1e-3 for one in of_small_class)


def test_chosen_vectors_are_those_the_artifact_will_give_back():
    known = choose_known(np.random.default_rng(0).normal(size=(10, 4)), np.zeros(10, int))

    assert (known == known.astype(np.float16)).all()


def test_too_few_photos_are_refused():
    with pytest.raises(ClassifierError, match="give 5 or more"):
        choose_known(np.ones((4, 2)), np.zeros(4, int))


@pytest.fixture(scope="module")
def artifact(make_artifact) -> Artifact:
    thresholds = Thresholds(0.2, known_distance=0.85, label_scores={"class_0": 0.9})
    return make_artifact("mobilenetv3_small_050", thresholds=thresholds, known_features=KNOWN)


class FixedEngine:
    spec = EngineSpec()

    def __init__(self, logits: list[float], features: np.ndarray) -> None:
        self._output = EngineOutput(np.array([logits], np.float32), features[None])

    def run(self, pixels: np.ndarray) -> EngineOutput:
        return self._output


def answer(artifact: Artifact, logits: list[float], features: np.ndarray):
    pixels = np.zeros((64, 64, 3), np.uint8)
    return Classifier(artifact, FixedEngine(logits, features)).classify([pixels], top_k=1)[0]


SURE, EVEN = [9, 0, 0, 0, 0, 0, 0], [0.0] * 7


@pytest.mark.parametrize(
    ("logits", "features", "known"),
    [(SURE, KNOWN[0], True), (SURE, np.eye(7, WIDTH)[6], False), (EVEN, KNOWN[0], False)],
)
def test_serving_asks_score_and_features(artifact, logits, features, known):
    assert answer(artifact, logits, features.astype(np.float32)).known is known


@pytest.mark.parametrize(
    ("logits", "is_sure"),
    [(SURE, True), ([1, 0, 0, 0, 0, 0, 0], False), ([0, 9, 0, 0, 0, 0, 0], None)],
)
def test_sure_compares_the_score_of_the_label(artifact, logits, is_sure):
    assert answer(artifact, logits, KNOWN[0]).is_sure is is_sure


def test_known_features_travel_in_the_weights_file(artifact):
    state = load_artifact(artifact.folder).load_state()

    assert not any("known" in name for name in state)
    assert artifact.load_known_rule().features == pytest.approx(KNOWN)


def test_artifact_without_a_threshold_cannot_say(artifact):
    assert dataclasses.replace(artifact, thresholds=None).load_known_rule() is None


@pytest.mark.parametrize(
    ("distance", "features", "words"),
    [
        (0.3, None, "need each other"),
        (None, KNOWN, "need each other"),
        (2.5, KNOWN, "between 0 and 2"),
        (0.3, KNOWN[:, :9], "the head takes 1024"),
        (0.3, KNOWN[0], "has shape"),
        (0.3, KNOWN * np.nan, "not finite"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make_artifact, distance, features, words):
    with pytest.raises(ArtifactInvalid, match=words):
        make_artifact(
            "mobilenetv3_small_050", thresholds=Thresholds(0.2, known_distance=distance), known_features=features
        )


def test_threshold_of_an_unknown_label_is_refused(make_artifact):
    with pytest.raises(ArtifactInvalid, match="label that is not there"):
        make_artifact("mobilenetv3_small_050", thresholds=Thresholds(0.2, label_scores={"pear": 0.5}))
