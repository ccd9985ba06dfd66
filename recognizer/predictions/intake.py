"""Take an upload in: bytes on disk, rows in one transaction, then a ring."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef

from classifier_core.images import ImageHeader, read_header
from recognizer.group_commit import GroupCommit
from recognizer.predictions import blobs, doorbell
from recognizer.predictions.models import Blob, IdempotencyKey, Owner, Prediction, UploadedImage, new_prediction
from recognizer.registry.models import Promotion, RegisteredModel
from recognizer.statements import Insert, InsertTogether, NewRow
from recognizer.storage import is_local

MODEL_SECONDS = 1.0  # two queries less an upload, a seventh of its processor time
_serving: dict[str, tuple[RegisteredModel, float]] = {}  # by name: the model and time.monotonic()
ROOM_SECONDS = 0.1  # between two looks at how many wait; what one process takes in meanwhile is counted
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


@dataclass
class _Room:
    """How many more uploads this process takes before it looks again."""

    left: int = 0
    until: float = 0.0  # time.monotonic()


_room = _Room()


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
    rows = _rows(upload, header, blobs.write(upload.raw), owner=owner, model=model, options=options)
    if options.idempotency_key:
        rows.key = _key(rows.prediction, owner, options, fingerprint)
    try:
        _uploads.run(rows)
    except IntegrityError:
        # Two requests with one key at once: the other one's row is the answer to both.
        if earlier := _earlier(owner, options, fingerprint):
            return earlier
        raise
    except OperationalError as error:
        if any(words in str(error) for words in DISK_FULL):
            raise blobs.StorageFull("The disk is full. Free some space, then upload again.") from error
        raise
    return Submission(rows.prediction, is_new=True)


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
    if _room.left <= 0 or time.monotonic() > _room.until:
        waiting = Prediction.objects.count_pending(settings.RECOGNIZER_MAX_PENDING)
        _room.left, _room.until = settings.RECOGNIZER_MAX_PENDING - waiting, time.monotonic() + ROOM_SECONDS
    _room.left -= 1
    if _room.left < 0:
        raise Overloaded("The service has more images waiting than it takes. Nothing was stored; try again shortly.")


def _rows(
    upload: Upload, header: ImageHeader, sha256: str, *, owner: Owner, model: RegisteredModel, options: PredictOptions
) -> "_Rows":
    owned = {"user_id": owner.user.pk if owner.user else None, "visitor": owner.visitor}
    size = {"num_bytes": len(upload.raw), "width": header.width, "height": header.height}
    blob = _new_blob(sha256=sha256, format=header.format, **size)
    image = _new_image(file_name=upload.file_name[:255], train_allowed=options.train_allowed, **owned)
    prediction = new_prediction(top_k=options.top_k, **owned)
    image.blob, prediction.image, prediction.model = blob, image, model
    return _Rows(upload.raw, blob, image, prediction)


def _key(prediction: Prediction, owner: Owner, options: PredictOptions, fingerprint: str) -> IdempotencyKey:
    return IdempotencyKey(
        scope=_scope(owner), key=options.idempotency_key, fingerprint=fingerprint, prediction=prediction
    )


@dataclass
class _Rows:
    """What one upload writes."""

    raw: bytes
    blob: Blob
    image: UploadedImage
    prediction: Prediction
    key: IdempotencyKey | None = None


def _store(uploads: Sequence[_Rows]) -> None:
    if not _store_at_once(uploads):
        with transaction.atomic(durable=True):
            _store_in_turn(uploads)
    # A lambda, not partial(): Django 5.2 cannot log a failing partial here.
    transaction.on_commit(lambda: doorbell.ring(), robust=True)  # noqa: PLW0108


def _store_at_once(uploads: Sequence[_Rows]) -> bool:
    """In one statement, where the database takes it; false: nothing is stored.

    An erasure of the same bytes by another owner comes wholly before or wholly after it. If before, the file may be
    gone: then it is written anew while the database is locked, which is done in turn.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block or not is_local():
        return False
    try:
        _insert_all.run([(upload.blob, upload.image, upload.prediction, upload.key) for upload in uploads])
    except IntegrityError:  # also of a key that came before: in turn it is found once more
        return False
    return True


def _store_in_turn(uploads: Sequence[_Rows]) -> None:
    in_order = sorted(uploads, key=lambda upload: upload.blob.sha256)  # or two groups deadlock
    are_seen = is_local()  # a bucket is asked about new rows alone: over the network
    locked = [upload for upload in in_order if insert_or_lock(upload.blob) or are_seen]
    blobs.ensure_all({upload.blob.sha256: upload.raw for upload in locked})
    _insert_images.run(*(upload.image for upload in uploads))
    _insert_predictions.run(*(upload.prediction for upload in uploads))
    _insert_keys.run(*(upload.key for upload in uploads if upload.key))


def insert_or_lock(blob: Blob) -> bool:
    """Whether the row is new. It is ours until the transaction ends.

    An erasure of the same bytes by another owner so comes wholly before or wholly after us; if before, it took the file
    along, and ensure_all() writes it anew.
    """
    while not _insert_blob.run(blob):
        if Blob.objects.select_for_update().filter(pk=blob.pk).values_list("pk"):
            return False
    return True


_new_blob, _new_image = NewRow(Blob), NewRow(UploadedImage)
_insert_blob = Insert(Blob, skip_existing=True)
_insert_images, _insert_keys = Insert(UploadedImage), Insert(IdempotencyKey)
_insert_predictions = Insert(Prediction, given=("id", "image", "user", "visitor", "model", "top_k", "created_at"))
_insert_all = InsertTogether(
    "new_uploads", _insert_blob, _insert_images, _insert_predictions, _insert_keys, unless=blobs.is_missing
)
_uploads = GroupCommit(_store, most=max(InsertTogether.SIZES))


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
