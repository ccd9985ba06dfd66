import dataclasses
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from classifier_core.artifact import Calibration, Thresholds
from classifier_core.classifier import Classifier, load_classifier
from classifier_core.crops import sample_crops
from classifier_core.engines import EngineOutput, EngineSpec
from classifier_core.errors import ArtifactInvalid, ImageUndecodable

SPECS = [EngineSpec("openvino"), EngineSpec("torch")]


class FixedEngine:
    """Gives the logits it was told to."""

    spec = EngineSpec()

    def __init__(self, *rows: list[float]) -> None:
        self._logits = np.array(rows, np.float32)

    def run(self, pixels: np.ndarray) -> EngineOutput:
        return EngineOutput(self._logits[: len(pixels)], np.zeros((len(pixels), 1), np.float32))


def answering(artifact, *rows: list[float], **parts: object) -> Classifier:
    return Classifier(dataclasses.replace(artifact, **parts), FixedEngine(*rows))


BLACK = np.zeros((64, 64, 3), np.uint8)
LOGITS = [0, np.log(2), 0, np.log(4), -99, -99, -99]  # scores 1/8, 2/8, 1/8, 4/8


def test_scores_by_hand(exported):
    [answer] = answering(exported, LOGITS).classify([BLACK], top_k=3)

    assert [score.label for score in answer.scores] == ["class_3", "class_1", "class_0"]
    assert [score.score for score in answer.scores] == pytest.approx([0.5, 0.25, 0.125])
    assert answer.known is None


def test_temperature_flattens_the_scores(exported):
    [answer] = answering(exported, LOGITS, calibration=Calibration(2.0)).classify([BLACK], top_k=1)

    assert answer.scores[0].score == pytest.approx(2 / (2 + np.sqrt(2) + 2))


@pytest.mark.parametrize(("known_score", "known"), [(0.49, True), (0.51, False)])
def test_known_compares_the_calibrated_score(exported, known_score, known):
    [answer] = answering(exported, LOGITS, thresholds=Thresholds(known_score)).classify([BLACK], top_k=1)

    assert answer.known is known


def test_more_asked_than_classes_gives_all(exported):
    [answer] = answering(exported, LOGITS).classify([BLACK], top_k=20)

    assert len(answer.scores) == 7
    assert sum(score.score for score in answer.scores) == pytest.approx(1)


def test_no_pictures_no_answers(exported):
    assert answering(exported, LOGITS).classify([], top_k=1) == []


@pytest.mark.parametrize("spec", SPECS)
def test_batch_equals_one_by_one(exported, spec):
    classifier = load_classifier(exported.folder, spec, num_threads=2)
    crops = sample_crops(exported.preprocessing, 8)

    together = classifier.classify(crops, top_k=7)
    alone = [classifier.classify([crop], top_k=7)[0] for crop in crops]

    for one, other in zip(together, alone, strict=True):
        by_label = {score.label: score.score for score in other.scores}
        assert all(score.score == pytest.approx(by_label[score.label], abs=1e-6) for score in one.scores)


def test_files_go_the_way_of_serving(exported, tmp_path):
    classifier = load_classifier(exported.folder, SPECS[0], num_threads=2)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        noise = np.random.default_rng(number).integers(0, 255, (120, 150, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)

    answers = dict(classifier.classify_files(paths, top_k=2, batch_size=2))

    assert list(answers) == paths
    pixels = exported.preprocessing.load(paths[4].read_bytes())
    assert answers[paths[4]].scores == classifier.classify([pixels], top_k=2)[0].scores


def test_unreadable_file_is_an_error(exported, tmp_path):
    file = BytesIO()
    Image.effect_noise((200, 200), 50).save(file, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(file.getvalue()[:3000])
    classifier = load_classifier(exported.folder, SPECS[0], num_threads=1)

    with pytest.raises(ImageUndecodable, match="incomplete"):
        list(classifier.classify_files([tmp_path / "cut.jpg"], top_k=1))


def test_missing_model_is_an_error(tmp_path):
    with pytest.raises(ArtifactInvalid):
        load_classifier(tmp_path, SPECS[0], num_threads=1)
