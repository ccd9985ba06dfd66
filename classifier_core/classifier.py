"""A loaded model: pixels in, calibrated scores out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifier_core.artifact import Artifact, load_artifact
from classifier_core.engines import Engine, EngineOutput, EngineSpec, load_engine
from classifier_core.engines.parity import softmax
from classifier_core.preprocessing import Pixels


@dataclass(frozen=True)
class Score:
    """How sure the model is of one label, calibrated, 0-1."""

    label: str
    score: float


@dataclass(frozen=True)
class Classification:
    """The answer for one picture: the best labels first.

    `known` is False for "none of my classes", None when the model has no threshold for that. `is_sure` says whether
    the best score reaches the threshold of its own label, None when the model has none for it.
    """

    scores: tuple[Score, ...]
    known: bool | None
    is_sure: bool | None = None


class Classifier:
    """An artifact on an engine."""

    def __init__(self, artifact: Artifact, engine: Engine) -> None:
        self.artifact = artifact
        self.engine = engine
        self._keys = [label.key for label in artifact.labels]
        self._rule = artifact.load_known_rule()
        self._label_scores = artifact.thresholds.label_scores if artifact.thresholds else {}

    def classify(self, pixels: Sequence[Pixels], *, top_k: int) -> list[Classification]:
        """One answer per picture, run as one batch. A picture's answer does not depend on its neighbours.

        The pictures come from `artifact.preprocessing`. Raises EngineFailed.
        """
        if not pixels:
            return []
        return self.answers(self.engine.run(np.stack(pixels)), top_k=top_k)

    def answers(self, output: EngineOutput, *, top_k: int) -> list[Classification]:
        """What this artifact makes of an engine's output, one answer per picture."""
        scores = softmax(output.logits, temperature=self.artifact.temperature)
        known = [None] * len(scores) if self._rule is None else self._rule.accepts(scores, output.features).tolist()
        return [self._answer(row, top_k, known=is_known) for row, is_known in zip(scores, known, strict=True)]

    def classify_files(
        self, paths: Iterable[Path], *, top_k: int, batch_size: int = 8
    ) -> Iterator[tuple[Path, Classification]]:
        """Offline: the answer for each file, through the same path as serving.

        Raises ImageRefused and ImageUndecodable at the first file that cannot be read.
        """
        remaining = iter(paths)
        while batch := list(islice(remaining, batch_size)):
            pixels = [self.artifact.preprocessing.load(path.read_bytes()) for path in batch]
            yield from zip(batch, self.classify(pixels, top_k=top_k), strict=True)

    def _answer(self, row: npt.NDArray[np.float64], top_k: int, *, known: bool | None) -> Classification:
        best = np.argsort(-row, kind="stable")[:top_k]
        scores = tuple(Score(self._keys[index], float(row[index])) for index in best)
        enough = self._label_scores.get(scores[0].label)
        return Classification(scores, known, is_sure=None if enough is None else scores[0].score >= enough)


def load_classifier(folder: Path | str, spec: EngineSpec, *, num_threads: int) -> Classifier:
    """The model in this artifact folder, ready to answer.

    Raises ArtifactInvalid and EngineUnavailable.
    """
    artifact = load_artifact(folder)
    return Classifier(artifact, load_engine(artifact, spec, num_threads=num_threads))
