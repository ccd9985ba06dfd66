"""Take an upload in: bytes on disk, rows in one transaction, then a ring."""

import hashlib
import json
import time
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Exists, OuterRef

from classifier_core.images import ImageHeader, read_header
from recognizer.predictions import blobs, doorbell
from recognizer.predictions.models import Blob, IdempotencyKey, Owner, Prediction, UploadedImage
from recognizer.registry.models import Promotion, RegisteredModel

MODEL_SECONDS = 1.0  # two queries less an upload, a seventh of its processor time
_serving: dict[str, tuple[RegisteredModel, float]] = {}  # by name: the model and time.monotonic()
DISK_FULL = ("database or disk is full", "No space left on device")  # as SQLite and as PostgreSQL say it


class UnknownModel(LookupError):
    """No registered model has this name."""


class NothingServes(RuntimeError):
    """The model has no promoted version."""


class Overloaded(RuntimeError):
    """Too many predictions wait already."""


class KeyReused(ValueError):
    """The idempotency key came before with another image or other options."""


@dataclass(frozen=True)
class Upload:
    raw: bytes
    file_name: str = ""


@dataclass(frozen=True)
class PredictOptions:
    model: str
    top_k: int = 5
    train_allowed: bool = False
    idempotency_key: str = ""


@dataclass(frozen=True)
class Submission:
    """The prediction of an upload. `is_new` is false when an idempotency key led to an earlier one."""

    prediction: Prediction
    is_new: bool


def submit(upload: Upload, *, owner: Owner, options: PredictOptions) -> Submission:
    """Store the upload and a PENDING prediction, then wake a worker.

    The row is the truth and the message is only a doorbell: if the broker is down, the reconciler finds the row.

    Raises ImageRefused, UnknownModel, NothingServes, Overloaded or KeyReused before anything is stored;
    StorageFull; StorageUnavailable.
    """
    header = read_header(upload.raw, blobs.limits())
    model = _serving_model(options.model)
    fingerprint = _fingerprint(upload, options) if options.idempotency_key else ""
    if earlier := _earlier(owner, options, fingerprint):
        return earlier
    _refuse_overload()
    sha256 = blobs.write(upload.raw)
    try:
        prediction = _insert(upload, header, sha256, owner=owner, model=model, options=options, fingerprint=fingerprint)
    except IntegrityError:
        # Two requests with one key at once: the other one's row is the answer to both.
        if earlier := _earlier(owner, options, fingerprint):
            return earlier
        raise
    except OperationalError as error:
        if any(words in str(error) for words in DISK_FULL):
            raise blobs.StorageFull("The disk is full. Free some space, then upload again.") from error
        raise
    return Submission(prediction, is_new=True)


def _serving_model(name: str) -> RegisteredModel:
    """The model of this name, if it serves; a second old at most, since what served once goes on serving."""
    known = _serving.get(name)
    if known is None or time.monotonic() - known[1] > MODEL_SECONDS:
        known = _serving[name] = (_find_serving_model(name), time.monotonic())
    return known[0]


def _find_serving_model(name: str) -> RegisteredModel:
    serves = Exists(Promotion.objects.filter(model=OuterRef("pk")))
    model = RegisteredModel.objects.filter(name=name).annotate(serves=serves).first()
    if model is None:
        raise UnknownModel(f"There is no model named {name!r}. GET /api/models/ lists the names.")
    if not model.serves:
        raise NothingServes(f"No version of the model {name!r} is promoted yet. Ask an administrator to promote one.")
    return model


def _refuse_overload() -> None:
    limit = settings.RECOGNIZER_MAX_PENDING
    if Prediction.objects.pending().order_by()[limit - 1 : limit].exists():
        raise Overloaded("The service has more images waiting than it takes. Nothing was stored; try again shortly.")


def _insert(
    upload: Upload,
    header: ImageHeader,
    sha256: str,
    *,
    owner: Owner,
    model: RegisteredModel,
    options: PredictOptions,
    fingerprint: str,
) -> Prediction:
    owned = {"user": owner.user, "visitor": owner.visitor}
    with transaction.atomic():
        blob = _keep_blob(upload.raw, header, sha256)
        image = UploadedImage.objects.create(
            blob=blob, file_name=upload.file_name[:255], train_allowed=options.train_allowed, **owned
        )
        prediction = Prediction.objects.create(image=image, model=model, top_k=options.top_k, **owned)
        if options.idempotency_key:
            IdempotencyKey.objects.create(
                scope=_scope(owner), key=options.idempotency_key, fingerprint=fingerprint, prediction=prediction
            )
        # A lambda, not partial(): Django 5.2 cannot log a failing partial here.
        transaction.on_commit(lambda: doorbell.ring(), robust=True)  # noqa: PLW0108
    return prediction


def _keep_blob(raw: bytes, header: ImageHeader, sha256: str) -> Blob:
    # The row is locked, so an erasure of the same bytes by another owner comes wholly before or wholly after us; if
    # before, it took the file along and ensure() writes it anew.
    blob, is_new = Blob.objects.select_for_update().get_or_create(
        sha256=sha256,
        defaults={"num_bytes": len(raw), "format": header.format, "width": header.width, "height": header.height},
    )
    if is_new:
        blobs.ensure(sha256, raw)
    return blob


def _earlier(owner: Owner, options: PredictOptions, fingerprint: str) -> Submission | None:
    if not options.idempotency_key:
        return None
    found = IdempotencyKey.objects.filter(scope=_scope(owner), key=options.idempotency_key).first()
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise KeyReused("This Idempotency-Key came before with another image or other options. Use a new key.")
    return Submission(found.prediction, is_new=False)


def _scope(owner: Owner) -> str:
    return f"user:{owner.user.pk}" if owner.user else f"visitor:{owner.visitor}"


def _fingerprint(upload: Upload, options: PredictOptions) -> str:
    """SHA-256 of what makes two requests the same: the bytes and the options."""
    described = json.dumps([options.model, options.top_k, options.train_allowed])
    return hashlib.sha256(described.encode() + upload.raw).hexdigest()
