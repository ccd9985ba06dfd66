"""How far one engine's answers are from another's, in figures."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classifier_core.engines import EngineOutput
from classifier_core.known import KnownRule

# Both sides compute in float32 and differ in the order of additions only: 1e-6 to 1e-4 over 40 architectures.
MAX_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Parity:
    """Two engines on the same pictures. Differences are the largest over all pictures."""

    num_pictures: int
    top1_agreement: float  # share of pictures with the same best class
    score_difference: float  # of calibrated scores, 0-1
    logit_difference: float  # as a share of the reference's range: an untrained head's scores are all alike
    feature_difference: float  # likewise, of pooled features and feature map
    known_agreement: float = 1.0  # share of pictures with the same `known`; 1.0 for an artifact without a threshold
    # Where it was measured on photos whose classes are known:
    accuracy: float | None = None
    least_accuracy: float | None = None  # the lower end of the reference's 95 % interval

    @property
    def knows_answers(self) -> bool:
        """Whether it was measured on photos whose classes are known."""
        return self.accuracy is not None


def compare(
    reference: EngineOutput, candidate: EngineOutput, *, temperature: float = 1.0, known: KnownRule | None = None
) -> Parity:
    """The figures for two outputs over the same pictures, calibrated and judged as the artifact says."""
    same = reference.logits.argmax(1) == candidate.logits.argmax(1)
    theirs, ours = (softmax(output.logits, temperature=temperature) for output in (reference, candidate))
    rule = known or KnownRule()
    same_known = rule.accepts(theirs, reference.features) == rule.accepts(ours, candidate.features)
    feature_difference = _relative(reference.features, candidate.features)
    if reference.feature_map is not None and candidate.feature_map is not None:
        feature_difference = max(feature_difference, _relative(reference.feature_map, candidate.feature_map))
    return Parity(
        num_pictures=len(same),
        top1_agreement=float(same.mean()),
        score_difference=float(np.abs(theirs - ours).max()),
        logit_difference=_relative(reference.logits, candidate.logits),
        feature_difference=feature_difference,
        known_agreement=float(same_known.mean()),
    )


def softmax(logits: npt.NDArray[np.float32], *, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Scores that add up to 1 in each row."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    scores: npt.NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return scores


def _relative(reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32]) -> float:
    if reference.shape != candidate.shape:
        return float("inf")
    spread = float(reference.max() - reference.min())
    return float(np.abs(reference - candidate).max()) / max(spread, 1e-12)
