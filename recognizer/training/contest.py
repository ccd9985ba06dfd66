"""Two versions answer the same photos, in one process, both as the serving one runs."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from classifier_core.artifact import Artifact
from classifier_core.classifier import Classification, Classifier, load_classifier
from classifier_core.engines import EngineOutput, join_outputs
from classifier_core.engines.precision import answers_alike
from classifier_core.engines.timing import Configuration
from classifier_core.errors import ClassifierError
from classifier_core.preprocessing import Pixels
from classifier_core.separate_process import answer_separately, scores_of
from classifier_core.side_by_side import Said
from recognizer.predictions import blobs
from recognizer.registry import artifact_store
from recognizer.registry.configurations import chosen_configuration, named_spec, num_threads, usual_spec
from recognizer.registry.models import ModelVersion

BATCH = 8
TIMED_PHOTOS = 10  # spread over the test part: their sizes differ
NONE_LEFT = "The test photos were erased while the versions were measured. Freeze a data set again, then judge."
ROUNDS = 4  # of each timed photo, after one that warms up
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Contender:
    """A version, loaded, and what its labels are called now: by its own key; empty when retired."""

    row: ModelVersion
    classifier: Classifier
    current: Mapping[str, str]
    num_threads: int

    @property
    def keys(self) -> frozenset[str]:
        """As its artifact has them."""
        return frozenset(entry.key for entry in self.classifier.artifact.labels)

    @property
    def classes(self) -> frozenset[str]:
        keys = (self.current.get(entry.key, entry.key) for entry in self.classifier.artifact.labels)
        return frozenset(key for key in keys if key)

    def load(self, raw: bytes) -> Pixels:
        """Raises ClassifierError, MemoryError."""
        return self.classifier.artifact.preprocessing.load(raw, limits=blobs.limits())

    def said(self, outputs: Sequence[EngineOutput]) -> Said:
        """What it said about the photos of these outputs, under the current labels."""
        answers = self.classifier.answers(join_outputs(outputs), top_k=1)
        keys = (one.scores[0].label for one in answers)
        return Said(
            answers=tuple(self.current.get(key, key) for key in keys),
            scores=tuple(one.scores[0].score for one in answers),
            known=tuple(one.known for one in answers),
            classes=self.classes,
        )


def enter_both(candidate: ModelVersion, serving: ModelVersion, current: Mapping[str, str]) -> dict[str, Contender]:
    """Both versions, loaded to run in one way: else what is timed is engines and threads, not networks.

    Raises ClassifierError, StorageUnavailable.
    """
    artifacts = [artifact_store.fetch(version.artifact_sha256) for version in (candidate, serving)]
    shared = shared_configuration(*artifacts)
    loaded = [load_classifier(one.folder, shared.spec, num_threads=shared.num_threads) for one in artifacts]
    contenders = zip((candidate, serving), loaded, strict=True)
    entered = [Contender(row, classifier, current, shared.num_threads) for row, classifier in contenders]
    return dict(zip(("candidate", "serving"), entered, strict=True))


def shared_configuration(candidate: Artifact, serving: Artifact) -> Configuration:
    """As the serving version runs; in the plain precision where nobody measured that the candidate answers alike so."""
    as_served = chosen_configuration(serving)
    is_measured = answers_alike(candidate, as_served.spec)
    if is_measured or as_served.spec == usual_spec(candidate):
        return as_served
    return replace(as_served, spec=named_spec())


def answer_all(
    contenders: Mapping[str, Contender], photos: Sequence[str], *, progress: Progress
) -> tuple[list[int], dict[str, Said]]:
    """The numbers of the photos (SHA-256) that all can read, and what each contender says about those.

    Raises ClassifierError when there is none; EngineFailed, StorageUnavailable.
    """
    numbers: list[int] = []
    outputs: dict[str, list[EngineOutput]] = {name: [] for name in contenders}
    with ThreadPoolExecutor(num_threads()) as threads:
        for start in range(0, len(photos), BATCH):
            progress(f"Answering test photos: {start} of {len(photos)}")
            batch = range(start, min(start + BATCH, len(photos)))
            rows = threads.map(lambda at: _pixels(contenders, photos[at]), batch)
            readable = [(at, row) for at, row in zip(batch, rows, strict=True) if row is not None]
            numbers += [at for at, _ in readable]
            for name, contender in contenders.items() if readable else ():
                stacked = np.stack([row[name] for _, row in readable])
                outputs[name].append(contender.classifier.engine.run(stacked))
    if not numbers:
        raise ClassifierError("Not one test photo can be read. See whether the storage still has them.")
    return numbers, {name: contender.said(outputs[name]) for name, contender in contenders.items()}


def _pixels(contenders: Mapping[str, Contender], photo: str) -> dict[str, Pixels] | None:
    """None when the bytes are gone, or one of the contenders cannot read them."""
    try:
        raw = blobs.read(photo)
        return {name: contender.load(raw) for name, contender in contenders.items()}
    except (FileNotFoundError, ClassifierError, MemoryError):
        return None


def time_in_turn(contenders: Mapping[str, Contender], photos: Sequence[str]) -> dict[str, Any]:
    """Milliseconds from the bytes of one photo to its answer, of each contender: median and 95th percentile.

    Measured in turn, so that what else the machine does slows both. Photos that were erased meanwhile are passed over.

    Raises ClassifierError when none is left; EngineFailed, StorageUnavailable.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    num_photos = 0
    for raw in islice(_left(_spread(photos)), TIMED_PHOTOS):
        num_photos += 1
        for number in range(1 + ROUNDS):
            for name, seconds in _timed(contenders, raw, is_turned=bool(number % 2)):
                if number:
                    taken[name].append(seconds * 1000)
    if not num_photos:
        raise ClassifierError(NONE_LEFT)
    return {"num_photos": num_photos, **{name: _percentiles(values) for name, values in taken.items()}}


def _spread(photos: Sequence[str]) -> Iterator[str]:
    """All of them, first some that lie apart."""
    step = max(1, len(photos) // TIMED_PHOTOS)
    return (photo for start in range(step) for photo in photos[start::step])


def _left(photos: Iterable[str]) -> Iterator[bytes]:
    """The bytes of those that were not erased since both versions answered them."""
    for photo in photos:
        with suppress(FileNotFoundError):
            yield blobs.read(photo)


def _timed(contenders: Mapping[str, Contender], raw: bytes, *, is_turned: bool) -> Iterator[tuple[str, float]]:
    names = sorted(contenders, reverse=is_turned)
    for name in names:
        start = time.perf_counter()
        _answer(contenders[name], raw)
        yield name, time.perf_counter() - start


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {"p50": round(statistics.median(values), 3), "p95": round(float(np.quantile(values, 0.95)), 3)}


def _answer(contender: Contender, raw: bytes) -> Classification:
    [answer] = contender.classifier.classify([contender.load(raw)], top_k=contender.classifier.artifact.num_classes)
    return answer


def load_apart(contender: Contender, photos: Sequence[str]) -> dict[str, Any]:
    """How far a fresh process's scores for one photo are from ours, or why it gave none.

    Raises ClassifierError when no photo is left; EngineFailed, StorageUnavailable.
    """
    raw = next(_left(photos), None)
    if raw is None:
        raise ClassifierError(NONE_LEFT)
    ours = scores_of(_answer(contender, raw))
    artifact, spec = contender.classifier.artifact, contender.classifier.engine.spec
    try:
        theirs = answer_separately(artifact, spec, raw, num_threads=contender.num_threads)
    except ClassifierError as error:
        return {"error": str(error), "score_difference": None}
    difference = max(abs(ours.get(key, 0.0) - theirs.get(key, 0.0)) for key in {*ours, *theirs})
    return {"error": "", "score_difference": difference}
