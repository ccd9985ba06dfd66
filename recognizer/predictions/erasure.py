"""Forget an upload: the one exception to "history is never edited"."""

from django.db import transaction
from django.db.models import F, ProtectedError
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from recognizer.predictions import blobs, renditions
from recognizer.predictions.models import (
    Blob,
    Erasure,
    Feedback,
    IdempotencyKey,
    Prediction,
    Review,
    SecondOpinion,
    UploadedImage,
)
from recognizer.registry.models import LearnedPhoto


class StillRunning(RuntimeError):
    """A worker has the image in its hands."""


def erase(prediction: Prediction, *, erased_by: str) -> None:
    """Turn the prediction into a tombstone; its image goes with its last prediction, its bytes with the last image.

    Raises StillRunning. Erasing twice is harmless.
    """
    with transaction.atomic():
        row = Prediction.objects.select_for_update(of=("self",)).select_related("image").get(pk=prediction.pk)
        if row.status == Prediction.Status.RUNNING:
            raise StillRunning("The image is being recognised right now. Erase it again in a few seconds.")
        if row.status == Prediction.Status.ERASED:
            return
        image = row.image
        Erasure.objects.create(prediction_id=row.pk, blob_sha256=image.blob_id if image else "", erased_by=erased_by)
        _bury(row)
        if image is not None and not image.predictions.exists():
            _drop(image)


def _bury(row: Prediction) -> None:
    Feedback.objects.filter(prediction=row).delete()
    SecondOpinion.objects.filter(prediction=row).delete()
    IdempotencyKey.objects.filter(prediction=row).delete()
    Review.objects.filter(prediction=row).update(label=None, previous_label="")
    Prediction.objects.filter(pk=row.pk).update(
        status=Prediction.Status.ERASED,
        attempts=F("attempts") + 1,  # fences off whoever still holds an old claim
        image=None,
        user=None,
        visitor=None,
        label="",
        score=None,
        known=None,
        scores=[],
        error_code="",
        error_detail="",
        lease_until=None,
        finished_at=Coalesce("finished_at", now()),
    )


def _drop(image: UploadedImage) -> None:
    # The blob row is locked while its file goes: an upload of the same bytes waits for us and writes the file anew.
    # Should the commit fail after all, rows stay without their bytes, as was asked for; erasing again ends it.
    sha256 = image.blob_id
    blob = Blob.objects.select_for_update().get(pk=sha256)
    image.delete()
    LearnedPhoto.mark_erased(sha256)  # also where the bytes stay: this owner's consent is gone
    drop_unneeded(blob)


def drop_unneeded(blob: Blob) -> None:
    """Remove bytes that no row needs any more: no upload, nothing that protects its blob. The row must be locked."""
    sha256 = blob.pk
    try:
        blob.delete()
    except ProtectedError:  # this app need not know who else needs it
        return
    renditions.remove(sha256)
    blobs.remove(sha256)
    # Once more: a viewer who still saw the row may have drawn the picture again.
    transaction.on_commit(lambda: renditions.remove(sha256), robust=True)
