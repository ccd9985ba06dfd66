"""What a trained network sees in photos: one vector each, by the same path as serving."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from classifier_core.artifact import Artifact
from classifier_core.datasets.duplicates import is_comparable
from classifier_core.datasets.folder import Photo
from classifier_core.datasets.looks import Floats, Look, in_progress
from classifier_core.engines import EngineSpec
from classifier_core.evaluation import load_any_engine

_BATCH_SIZE = 16


class Eye:
    """A network that looks at pictures.

    An artifact without an exported graph is exported into a temporary folder (seconds, loads torch).
    Raises EngineUnavailable, EngineFailed and ExportFailed.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._engine = load_any_engine(artifact, EngineSpec("openvino"), num_threads=os.cpu_count() or 1)
        self._load = artifact.preprocessing.load

    def features(self, raws: Sequence[bytes]) -> Floats:
        """The pooled features of encoded pictures, float32 [N, F]. Raises ImageRefused, ImageUndecodable."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return self._engine.run(np.stack(list(threads.map(self._load, raws)))).features


def features_of(photos: Sequence[Photo], artifact: Artifact) -> Floats:
    """The pooled features of readable photos, float32 [N, F], on OpenVINO.

    Raises what an Eye raises, and OSError for a photo that cannot be read.
    """
    eye, starts = Eye(artifact), range(0, len(photos), _BATCH_SIZE)
    batches = (photos[start : start + _BATCH_SIZE] for start in starts)
    return np.concatenate(
        [
            eye.features([photo.path.read_bytes() for photo in batch])
            for batch in in_progress(batches, "Computing features", total=len(starts))
        ]
    )


def comparable_features(photos: Sequence[Photo], looks: Sequence[Look], artifact: Artifact) -> Floats:
    """`features_of` those that `group_near_duplicates` compares, of which there must be some; zeros for the others.

    Raises what `features_of` raises.
    """
    chosen = [number for number, look in enumerate(looks) if is_comparable(look)]
    found = features_of([photos[number] for number in chosen], artifact)
    features = np.zeros((len(photos), found.shape[1]), np.float32)
    features[chosen] = found
    return features
