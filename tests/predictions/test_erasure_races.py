"""An erasure and an upload of the same bytes, at once: the bytes stay exactly as long as somebody owns them."""

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Blob, Owner, Prediction, UploadedImage
from recognizer.registry.models import RegisteredModel
from tests.predictions.test_claim import at_once
from tests.recognition import blob_files, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def test_upload_beside_the_last_erasure_keeps_its_bytes(fruit_rows: RegisteredModel, media: Path):
    for _ in range(8):
        first = upload(owner=stranger())
        steps = [lambda: upload(owner=stranger()), partial(erase, first, erased_by="visitor")]

        at_once(2, partial(_next, steps))

        [path] = blob_files(media)
        assert UploadedImage.objects.count() == Blob.objects.count() == 1
        assert Blob.objects.get().sha256 == path.name
        erase(Prediction.objects.get(status="pending"), erased_by="visitor")
        assert blob_files(media) == []


def stranger() -> Owner:
    return Owner(visitor=uuid.uuid4())


def _next(steps: list[Callable[[], object]]) -> None:
    steps.pop()()


def test_two_erasures_at_once_are_one(fruit_rows: RegisteredModel, media: Path):
    row = upload(owner=stranger())

    at_once(3, lambda: erase(row, erased_by="visitor"))

    assert Prediction.objects.get().status == "erased"
    assert blob_files(media) == []


def test_two_owners_erase_the_same_bytes_at_once(fruit_rows: RegisteredModel, media: Path):
    rows = [upload(owner=stranger()) for _ in range(3)]

    at_once(3, lambda: erase(rows.pop(), erased_by="visitor"))

    assert not Blob.objects.exists()
    assert blob_files(media) == []
