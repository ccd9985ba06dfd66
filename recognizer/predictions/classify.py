"""Answer claimed predictions. One bad image never takes its neighbours along.

Threads decode and run the network, the caller's thread claims and stores: while some images are in work, others are
claimed and earlier answers stored. Those threads do not touch the database.
"""

import time
from collections.abc import Collection
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import structlog
from django.db import transaction

from classifier_core.classifier import Classification
from classifier_core.errors import ClassifierError, ImageRefused, ImageUndecodable
from recognizer.predictions import blobs, doorbell
from recognizer.predictions.answers import pack
from recognizer.predictions.models import Prediction
from recognizer.registry import idle, waking
from recognizer.registry.configurations import most_in_work, num_threads
from recognizer.registry.serving import ServingVersion, serving_version

log = structlog.get_logger(__name__)

STORED_SCORES = 5  # at least: a reviewer wants to see the runners-up even when the client asked for one
MODEL_FAILED = ("model_failed", "The model could not answer. Retry; if it happens again, ask the operator.")
LOOK_SECONDS = 0.02  # between two looks for new rows while there is room beside what runs
_num_threads = num_threads()
_jobs = ThreadPoolExecutor(_num_threads, thread_name_prefix="job")
_decoders = ThreadPoolExecutor(_num_threads, thread_name_prefix="decode")


class Claim(Protocol):
    """Claims up to `limit` rows of one model; none that was tried before, unless it would be `alone`.

    None of a model that it is to do `without`.
    """

    def __call__(self, limit: int, *, alone: bool, without: Collection[int]) -> list[Prediction]: ...


@dataclass(frozen=True)
class Outcome:
    """What became of a claimed prediction: an answer, or a code and words why not; neither: try again later."""

    prediction: Prediction
    answer: dict[str, Any] | None = None
    error: tuple[str, str] | None = None


Running = dict[Future[list[Outcome]], int]  # and how many images are in each
Loads = list[Future[None]]  # of resting models that are asked for


def classify(claim: Claim, *, until: float) -> None:
    """Claim and answer until nothing waits, or time.monotonic() passes `until`."""
    running: Running = {}
    ended: list[Outcome] = []
    try:
        while True:
            loads = _wake_wanted()
            stored, batch = _store_and_claim(ended, claim, running, until=until)
            running |= _start(batch)  # before anything that may fail or wait: the rows are ours
            _announce(ended, stored)
            if not batch and not running and (not loads or time.monotonic() > until):
                return
            is_alone = any(prediction.attempts > 1 for prediction in batch)
            ended = _finish(running, loads, seconds=None if is_alone or time.monotonic() > until else LOOK_SECONDS)
    finally:
        wait(running)  # after an error too: what runs on unseen would run beside a row that must be alone


def _store_and_claim(
    ended: list[Outcome], claim: Claim, running: Running, *, until: float
) -> tuple[list[Prediction], list[Prediction]]:
    """Store what ended and claim what comes next, in one commit: the rows that were stored, and those that are ours."""
    with transaction.atomic() if ended else nullcontext():  # a look for more takes no lock
        stored = [outcome.prediction for outcome in ended if _record(outcome)]
        return stored, _claim_more(claim, running, until=until)


def _announce(ended: list[Outcome], stored: list[Prediction]) -> None:
    if ended:
        # A row that a later attempt owns is announced too: that one may have ended before anybody listened.
        unknown = {outcome.prediction.pk: "" for outcome in ended}
        doorbell.announce(unknown | {prediction.pk: pack(prediction) for prediction in stored})


def _claim_more(claim: Claim, running: Running, *, until: float) -> list[Prediction]:
    """Rows of models that are in memory."""
    room = most_in_work() - sum(running.values())
    if room <= 0 or time.monotonic() >= until:
        return []
    return claim(room, alone=not running, without=[*idle.resting])


def _wake_wanted() -> Loads:
    """The loads of the resting models that are asked for. They run beside what others answer."""
    resting = [*idle.resting]
    return waking.wake(Prediction.objects.models_that_wait(resting)) if resting else []


def _start(batch: list[Prediction]) -> Running:
    if not batch:
        return {}
    try:
        version = serving_version(batch[0].model_id)
    except ClassifierError:
        log.exception("no version to answer with", size=len(batch))
        failed: Future[list[Outcome]] = Future()
        failed.set_result([Outcome(prediction, error=MODEL_FAILED) for prediction in batch])
        return {failed: len(batch)}
    except (OSError, MemoryError):
        # Files or memory may be there soon: the rows are left to their lease, and to the attempts that they have left.
        log.exception("the model cannot be loaded now, trying again soon", size=len(batch))
        return {}
    size = version.configuration.batch_size
    parts = [batch[start : start + size] for start in range(0, len(batch), size)]
    return {_jobs.submit(_run, part, version): len(part) for part in parts}


def _finish(running: Running, loads: Loads, *, seconds: float | None) -> list[Outcome]:
    """Wait for a job, at most so long, and give what has ended; None: for all jobs. Where none runs, for a load."""
    if not running:
        wait(loads, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
        return []
    done = wait(running, timeout=seconds, return_when=FIRST_COMPLETED if seconds else ALL_COMPLETED).done
    if done and len(running) - len(done) > _num_threads:
        # All threads still have something to do: the next answer can share a transaction with this one.
        done |= wait(running.keys() - done, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done
    for job in done:
        del running[job]
    return [outcome for job in done for outcome in job.result()]


def _record(outcome: Outcome) -> bool:
    if outcome.answer:
        return outcome.prediction.succeed(**outcome.answer)
    return outcome.prediction.fail(*outcome.error) if outcome.error else False


def _run(batch: list[Prediction], version: ServingVersion) -> list[Outcome]:
    """One job, in a thread: the outermost frame there, so that nothing of it touches the jobs beside it."""
    try:
        return answer_images(batch, version)
    except (ClassifierError, MemoryError):
        # The log has the reason, which may name paths.
        log.exception("batch failed", size=len(batch))
        return [Outcome(prediction, error=MODEL_FAILED) for prediction in batch]
    except Exception:
        log.exception("unforeseen, the rows are tried again", size=len(batch))
        return [Outcome(prediction) for prediction in batch]


def answer_images(batch: list[Prediction], version: ServingVersion) -> list[Outcome]:
    """What the version says about the images of these, as one batch. Stores nothing.

    Raises ClassifierError, MemoryError.
    """
    decoded = _decode_all(batch, version)
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
        pixels, error = version.preprocessing.load(blobs.read_once(prediction.blob_id), limits=blobs.limits()), None
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
