"""Whether a picture shows one of the model's classes at all.

A network is sure of itself far from anything it has seen, so its score says little about strangers. How far a
picture's features lie from those of known photos says much (Sun et al. 2022, arXiv 2204.06507). numpy only: this
runs in serving.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_core.errors import ClassifierError

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Vectors = npt.NDArray[np.float32]

NEIGHBOURS = 5  # known photos that a picture is compared with; from 1 to 10 about as many strangers are caught
MAX_VECTORS = 1000  # of 1,280 numbers: 2.6 MB in half precision, and a tenth of a millisecond a picture


@dataclass(frozen=True)
class KnownRule:
    """Which pictures count as known: score and features must both say so."""

    score: float = 0.0  # the lowest calibrated top score
    distance: float = math.inf  # the largest distance to `features`, as `known_distances` gives it
    features: Vectors | None = None  # [M, F], of unit length; None: only the score counts

    def accepts(self, scores: Floats, features: Floats) -> npt.NDArray[np.bool_]:
        """For calibrated scores [N, K] and pooled features [N, F]: whether each picture is known, [N]."""
        is_known: npt.NDArray[np.bool_] = scores.max(1) >= self.score
        if self.features is not None:
            is_known &= known_distances(features, self.features) <= self.distance
        return is_known


def known_distances(features: Floats, known: Vectors) -> Floats:
    """Mean cosine distance, 0-2, of features [N, F] to the 5 nearest of the known unit vectors [M, F]."""
    similarity = unit_vectors(features) @ known.T
    count = min(NEIGHBOURS, len(known))
    nearest = np.partition(similarity, -count, axis=1)[:, -count:]
    distances: Floats = 1 - nearest.mean(1)
    return distances


def unit_vectors(features: Floats) -> Vectors:
    """The same directions, each of length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    vectors: Vectors = (features / np.maximum(lengths, 1e-12)).astype(np.float32)
    return vectors


def choose_known(features: Floats, targets: Ints, *, limit: int = MAX_VECTORS, seed: int = 0) -> Vectors:
    """At most `limit` unit vectors of training features [N, F], as evenly over the classes as there are photos.

    Rounded to half precision, as an artifact stores them. Raises ClassifierError for fewer photos than neighbours.
    """
    if len(features) < NEIGHBOURS:
        raise ClassifierError(f"Known features of {len(features)} photos say too little; give {NEIGHBOURS} or more.")
    order = np.random.default_rng(seed).permutation(len(targets))
    turns = np.empty(len(targets), np.int64)  # the how-manieth of its class each photo is
    for label in np.unique(targets):
        members = order[targets[order] == label]
        turns[members] = np.arange(len(members))
    chosen = np.sort(np.argsort(turns, kind="stable")[:limit])
    return unit_vectors(features[chosen]).astype(np.float16).astype(np.float32)
