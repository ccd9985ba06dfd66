"""What a trained network sees in photos: one vector each, by the same path as serving."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from classifier_core.artifact import Artifact
from classifier_core.datasets.duplicates import is_comparable
from classifier_core.datasets.folder import Photo
from classifier_core.datasets.looks import Floats, Look, in_progress
from classifier_core.engines import EngineSpec
from classifier_core.evaluation import load_any_engine
from classifier_core.preprocessing import Pixels, Preprocessing

_BATCH_SIZE = 16


def features_of(photos: Sequence[Photo], artifact: Artifact) -> Floats:
    """The pooled features of readable photos, float32 [N, F], on OpenVINO.

    An artifact without an exported graph is exported into a temporary folder (seconds, loads torch).

    Raises OSError, ImageRefused and ImageUndecodable for a photo that cannot be read; EngineUnavailable,
    EngineFailed and ExportFailed.
    """
    engine = load_any_engine(artifact, EngineSpec("openvino"), num_threads=os.cpu_count() or 1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        starts = range(0, len(photos), _BATCH_SIZE)
        load = partial(_load, preprocessing=artifact.preprocessing)
        batches = (list(threads.map(load, photos[start : start + _BATCH_SIZE])) for start in starts)
        parts = [
            engine.run(np.stack(batch)).features
            for batch in in_progress(batches, "Computing features", total=len(starts))
        ]
    return np.concatenate(parts)


def comparable_features(photos: Sequence[Photo], looks: Sequence[Look], artifact: Artifact) -> Floats:
    """`features_of` those that `group_near_duplicates` compares, of which there must be some; zeros for the others.

    Raises what `features_of` raises.
    """
    chosen = [number for number, look in enumerate(looks) if is_comparable(look)]
    found = features_of([photos[number] for number in chosen], artifact)
    features = np.zeros((len(photos), found.shape[1]), np.float32)
    features[chosen] = found
    return features


def _load(photo: Photo, preprocessing: Preprocessing) -> Pixels:
    return preprocessing.load(photo.path.read_bytes())
