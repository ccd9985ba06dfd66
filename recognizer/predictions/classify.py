"""Answer claimed predictions. One bad image never takes its neighbours along."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import structlog
from django.db import transaction

from classifier_core.classifier import Classification
from classifier_core.errors import ClassifierError, ImageRefused, ImageUndecodable
from classifier_core.preprocessing import Preprocessing
from recognizer.predictions import blobs, doorbell
from recognizer.predictions.models import Prediction
from recognizer.registry.serving import ServingVersion, serving_version

log = structlog.get_logger(__name__)

STORED_SCORES = 5  # at least: a reviewer wants to see the runners-up even when the client asked for one
_decoders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode")


@dataclass(frozen=True)
class Decoded:
    """One claimed prediction, as pixels [height, width, channels] or as a reason why not; neither: try again later."""

    prediction: Prediction
    pixels: np.ndarray | None
    decode_ms: float
    error: tuple[str, str] | None = None  # code, detail


def classify_batch(batch: list[Prediction]) -> None:
    """Run the loaded version on claimed predictions of one model and record every outcome."""
    try:
        version = serving_version(batch[0].model_id)
        decoded = list(_decoders.map(lambda prediction: _decode(prediction, version.preprocessing), batch))
        _record(decoded, version)
    except (ClassifierError, MemoryError):
        # MemoryError that escapes a task ends the whole worker. The log has the reason, which may name paths.
        log.exception("batch failed", size=len(batch))
        for prediction in batch:
            prediction.fail("model_failed", "The model could not answer. Retry; if it happens again, ask the operator.")
    doorbell.announce(prediction.pk for prediction in batch)


def _decode(prediction: Prediction, preprocessing: Preprocessing) -> Decoded:
    start = time.perf_counter()
    try:
        pixels, error = preprocessing.load(blobs.read(_blob_of(prediction)), limits=blobs.limits()), None
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


def _blob_of(prediction: Prediction) -> str:
    if prediction.image is None:
        raise FileNotFoundError("the image was erased")
    return prediction.image.blob_id


def _record(decoded: list[Decoded], version: ServingVersion) -> None:
    readable = [item for item in decoded if item.pixels is not None]
    start = time.perf_counter()
    top_k = max([STORED_SCORES, *(item.prediction.top_k for item in readable)])
    answers = version.classify([item.pixels for item in readable if item.pixels is not None], top_k=top_k)
    inference_ms = (time.perf_counter() - start) * 1000
    with transaction.atomic():
        for item in decoded:
            if item.error:
                item.prediction.fail(*item.error)
        for item, answer in zip(readable, answers, strict=True):
            _succeed(item, answer, version=version, inference_ms=inference_ms)


def _succeed(item: Decoded, answer: Classification, *, version: ServingVersion, inference_ms: float) -> None:
    """Store one answer. `inference_ms` is that of the whole batch: what this image waited for."""
    item.prediction.succeed(
        # Counted for this row alone: what is stored must not depend on who else was in the batch.
        scores=[
            (score.label, round(score.score, 6)) for score in answer.scores[: max(STORED_SCORES, item.prediction.top_k)]
        ],
        version=version.row,
        known=answer.known,
        decode_ms=round(item.decode_ms, 2),
        inference_ms=round(inference_ms, 2),
        engine=version.spec.engine,
        device=version.spec.device,
        precision=version.spec.precision,
    )
