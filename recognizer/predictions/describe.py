"""A prediction as the API shows it."""

import time
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import get_script_prefix, reverse
from django.utils.translation import get_language

from recognizer.predictions.answers import WRITTEN_BY_WORKER, unpack
from recognizer.predictions.models import Prediction, Review
from recognizer.registry.models import Label, ModelVersion

UNUSED = ("manifest", "parity")  # long texts of a version that no answer shows
NAMES_SECONDS = 5.0
NOBODY = UUID(int=0)
Names = dict[tuple[int, str], str]
_names: dict[str | None, dict[tuple[int, str], tuple[str, float]]] = {}  # by language: a Names, and time.monotonic()


def with_details(predictions: QuerySet[Prediction]) -> QuerySet[Prediction]:
    """Everything `describe` reads, in a constant number of queries."""
    details = predictions.select_related("image__blob", "model", "version").prefetch_related("reviews__label")
    return details.defer(*(f"version__{name}" for name in UNUSED))


def describe_all(predictions: Iterable[Prediction]) -> list[dict[str, Any]]:
    """The predictions as JSON values, label names in the active language."""
    rows = list(predictions)
    names = label_names(rows)
    return [_describe(row, names, row.reviews.all()) for row in rows]


def describe(prediction: Prediction) -> dict[str, Any]:
    """One prediction as JSON values."""
    return describe_all([prediction])[0]


def describe_new(prediction: Prediction, answer: str) -> dict[str, Any]:
    """A prediction that this request made, as the worker has left it; `answer` is what came with the wake-up.

    Its image and model are at hand, a version's row never changes and nobody has reviewed it yet: no query, or a
    narrow one where no answer came along.
    """
    if not unpack(answer, prediction):
        prediction.refresh_from_db(fields=WRITTEN_BY_WORKER)
    if prediction.version_id is not None:
        prediction.version = _version(prediction.version_id)
    return _describe(prediction, _known_names(prediction), reviews=())


@cache
def _version(pk: int) -> ModelVersion:
    return ModelVersion.objects.defer(*UNUSED).get(pk=pk)


def _known_names(row: Prediction) -> Names:
    """Display names of this answer's labels in the active language, a few seconds old at most."""
    known = _names.setdefault(get_language(), {})
    wanted = {(row.model_id, key) for key, _ in row.scores}
    oldest = time.monotonic() - NAMES_SECONDS
    if any(name not in known or known[name][1] < oldest for name in wanted):
        known.update({name: (words, time.monotonic()) for name, words in label_names([row]).items()})
    return {name: known[name][0] for name in wanted if name in known}


def label_names(predictions: Iterable[Prediction]) -> Names:
    """Display names of every label in these answers, by (model id, key), in one query."""
    rows = list(predictions)
    keys = {key for row in rows for key, _ in row.scores}
    labels = Label.objects.filter(model__in={row.model_id for row in rows}, key__in=keys).order_by()
    return {(label.model_id, label.key): label.name for label in labels}


def _describe(row: Prediction, names: Names, reviews: Iterable[Review]) -> dict[str, Any]:
    scores = [_score(row, key, score, names) for key, score in row.scores[: row.top_k]]
    return {
        "id": str(row.pk),
        "status": row.status,
        "url": _url("api:prediction", row.pk),
        "created_at": row.created_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "image": _image(row),
        "model": _model(row),
        "top": scores[0] if scores else None,
        "known": row.known,
        "scores": scores,
        "timing_ms": _timing(row),
        "review": _review(reviews),
        "error": {"code": row.error_code, "detail": row.error_detail} if row.error_detail else None,
    }


def _score(row: Prediction, key: str, score: float, names: Names) -> dict[str, Any]:
    return {"label": key, "name": names.get((row.model_id, key), key), "score": score}


def _image(row: Prediction) -> dict[str, Any] | None:
    if row.image is None:
        return None
    blob = row.image.blob
    return {
        "sha256": blob.sha256,
        "width": blob.width,
        "height": blob.height,
        "format": blob.format,
        "url": image_url(row.pk, "image"),
        "thumbnail_url": image_url(row.pk, "thumbnail"),
    }


def image_url(prediction: UUID, kind: str) -> str:
    return _url(f"api:prediction-{kind}", prediction)


def _url(name: str, prediction: UUID) -> str:
    return _url_of_nobody(name, get_script_prefix()).replace(str(NOBODY), str(prediction))


@lru_cache(16)
def _url_of_nobody(name: str, _prefix: str) -> str:
    return reverse(name, args=[NOBODY])


def _model(row: Prediction) -> dict[str, Any]:
    return {
        "name": row.model.name,
        "version": row.version.number if row.version else None,
        "architecture": row.version.architecture if row.version else None,
        "engine": row.engine or None,
        "device": row.device or None,
        "precision": row.precision or None,
    }


def _timing(row: Prediction) -> dict[str, float | None]:
    return {"queue": row.queue_ms, "decode": row.decode_ms, "inference": row.inference_ms, "total": row.total_ms}


def _review(reviews: Iterable[Review]) -> dict[str, Any] | None:
    newest = max(reviews, key=lambda review: review.pk, default=None)
    if newest is None or newest.verdict == Review.Verdict.WITHDRAWN:
        return None
    return {
        "verdict": newest.verdict,
        "label": newest.label.key if newest.label else None,
        "name": newest.label.name if newest.label else None,
        "created_at": newest.created_at.isoformat(),
    }
