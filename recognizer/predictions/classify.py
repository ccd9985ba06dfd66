"""Answer claimed predictions. One bad image never takes its neighbours along.

Threads decode and run the network, the caller's thread claims and stores: while some images are in work, others are
claimed and earlier answers stored. No other thread touches the database.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from django.conf import settings
from django.db import transaction

from classifier_core.classifier import Classification
from classifier_core.errors import ClassifierError, ImageRefused, ImageUndecodable
from recognizer.predictions import blobs, doorbell
from recognizer.predictions.answers import pack
from recognizer.predictions.models import Prediction
from recognizer.registry.serving import ServingVersion, serving_version

log = structlog.get_logger(__name__)

STORED_SCORES = 5  # at least: a reviewer wants to see the runners-up even when the client asked for one
MODEL_FAILED = ("model_failed", "The model could not answer. Retry; if it happens again, ask the operator.")
NUM_CORES = len(os.sched_getaffinity(0))
_jobs = ThreadPoolExecutor(NUM_CORES, thread_name_prefix="job")
_decoders = ThreadPoolExecutor(NUM_CORES, thread_name_prefix="decode")
Claim = Callable[[int], list[Prediction]]  # up to so many, of one model


@dataclass(frozen=True)
class Outcome:
    """What became of a claimed prediction: an answer, or a code and words why not; neither: try again later."""

    prediction: Prediction
    answer: dict[str, Any] | None = None
    error: tuple[str, str] | None = None


Running = dict[Future[list[Outcome]], int]  # and how many images are in each


def classify(claim: Claim, *, until: float) -> None:
    """Claim and answer until nothing waits, or time.monotonic() passes `until`. What was claimed is always ended."""
    running: Running = {}
    while True:
        room = settings.RECOGNIZER_BATCH_SIZE - sum(running.values())
        batch = claim(room) if room and time.monotonic() < until else []
        if batch and batch[0].attempts > 1:  # it was there when a worker died: nobody beside it
            _finish(running, return_when="ALL_COMPLETED")
        running |= _start(batch)
        if not running:
            return
        _finish(running, return_when="ALL_COMPLETED" if batch and batch[0].attempts > 1 else FIRST_COMPLETED)


def _start(batch: list[Prediction]) -> Running:
    if not batch:
        return {}
    try:
        version = serving_version(batch[0].model_id)
    except (ClassifierError, MemoryError):
        log.exception("no version to answer with", size=len(batch))
        _store([Outcome(prediction, error=MODEL_FAILED) for prediction in batch])
        return {}
    # On a CPU each image is a job of its own: the cores then never wait for each other. See docs/performance.md.
    size = 1 if version.spec.device == "cpu" else len(batch)
    parts = [batch[start : start + size] for start in range(0, len(batch), size)]
    return {_jobs.submit(_run, part, version): len(part) for part in parts}


def _finish(running: Running, *, return_when: str) -> None:
    """Wait for jobs, take them out and store what they gave."""
    done = wait(running, return_when=return_when).done
    for job in done:
        del running[job]
    _store([outcome for job in done for outcome in job.result()])


def _store(outcomes: list[Outcome]) -> None:
    if not outcomes:
        return
    with transaction.atomic():
        stored = [outcome.prediction for outcome in outcomes if _record(outcome)]
    # A row that a later attempt owns is announced too: that one may have ended before anybody listened.
    unknown = {outcome.prediction.pk: "" for outcome in outcomes}
    doorbell.announce(unknown | {prediction.pk: pack(prediction) for prediction in stored})


def _record(outcome: Outcome) -> bool:
    if outcome.answer:
        return outcome.prediction.succeed(**outcome.answer)
    return outcome.prediction.fail(*outcome.error) if outcome.error else False


def _run(batch: list[Prediction], version: ServingVersion) -> list[Outcome]:
    """One job, in a thread."""
    try:
        return _answer(batch, version)
    except (ClassifierError, MemoryError):
        # MemoryError that escapes a task ends the whole worker. The log has the reason, which may name paths.
        log.exception("batch failed", size=len(batch))
        return [Outcome(prediction, error=MODEL_FAILED) for prediction in batch]


def _answer(batch: list[Prediction], version: ServingVersion) -> list[Outcome]:
    decoded = (
        [_decode(batch[0], version)] if len(batch) == 1 else [*_decoders.map(_decode, batch, [version] * len(batch))]
    )
    readable = [item for item in decoded if item.pixels is not None]
    start = time.perf_counter()
    top_k = max([STORED_SCORES, *(item.prediction.top_k for item in readable)])
    answers = version.classify([item.pixels for item in readable if item.pixels is not None], top_k=top_k)
    inference_ms = (time.perf_counter() - start) * 1000
    unreadable = [Outcome(item.prediction, error=item.error) for item in decoded if item.pixels is None]
    return unreadable + [
        Outcome(item.prediction, _fields(item, answer, version=version, inference_ms=inference_ms))
        for item, answer in zip(readable, answers, strict=True)
    ]


def _decode_all(batch: list[Prediction], version: ServingVersion) -> list["Decoded"]:
    if len(batch) == 1:
        return [_decode(batch[0], version)]
    return list(_decoders.map(_decode, batch, [version] * len(batch)))


@dataclass(frozen=True)
class Decoded:
    """One claimed prediction, as pixels [height, width, channels] or as a reason why not; neither: try again later."""

    prediction: Prediction
    pixels: np.ndarray | None
    decode_ms: float
    error: tuple[str, str] | None = None


def _decode(prediction: Prediction, version: ServingVersion) -> Decoded:
    start = time.perf_counter()
    try:
        if not prediction.blob_id:
            raise FileNotFoundError("the image was erased")
        pixels, error = version.preprocessing.load(blobs.read(prediction.blob_id), limits=blobs.limits()), None
    except (ImageUndecodable, ImageRefused) as refused:
        pixels, error = None, ("undecodable", str(refused))
    except MemoryError:
        pixels, error = None, ("out_of_memory", "The image needs more memory than the worker has. Send a smaller one.")
    except FileNotFoundError:
        log.exception("stored image missing", prediction=str(prediction.pk))
        pixels, error = None, ("image_missing", "The stored image is not there any more. Upload it again.")
    except OSError:
        # Storage that does not answer now may answer soon: the row is left to its lease, and to the next attempt.
        log.exception("stored image unreadable", prediction=str(prediction.pk))
        pixels, error = None, None
    return Decoded(prediction, pixels, (time.perf_counter() - start) * 1000, error)


def _fields(item: Decoded, answer: Classification, *, version: ServingVersion, inference_ms: float) -> dict[str, Any]:
    """What `succeed` stores. `inference_ms` is that of the whole job: what this image waited for."""
    # Counted for this row alone: what is stored must not depend on who else was in the batch.
    scores = answer.scores[: max(STORED_SCORES, item.prediction.top_k)]
    return {
        "scores": [(score.label, round(score.score, 6)) for score in scores],
        "version": version.row,
        "known": answer.known,
        "decode_ms": round(item.decode_ms, 2),
        "inference_ms": round(inference_ms, 2),
        "engine": version.spec.engine,
        "device": version.spec.device,
        "precision": version.spec.precision,
    }
