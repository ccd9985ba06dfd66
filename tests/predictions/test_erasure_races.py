"""An erasure and an upload of the same bytes, at once: the bytes stay exactly as long as somebody owns them."""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from recognizer.predictions import blobs
from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Blob, Owner, Prediction, UploadedImage
from recognizer.registry.models import Judgement, RegisteredModel
from recognizer.training.judging_versions import without_erased
from tests.predictions.test_claim import at_once
from tests.recognition import blob_files, picture, upload
from tests.training.snapshot_rows import frozen, photo_bytes, reviewed

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


def test_upload_whose_file_went_before_its_rows_writes_it_anew(
    fruit_rows: RegisteredModel, media: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(blobs, "write", write_and_lose)

    for number in (1, 2):  # the second time its row is there already
        upload(owner=stranger())

        assert Prediction.objects.filter(status="pending").count() == number
        assert [path.name for path in blob_files(media)] == [Blob.objects.get().sha256]


def test_upload_whose_file_cannot_be_written_anew_leaves_no_row(
    fruit_rows: RegisteredModel, media: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(sha256: str, raw: bytes) -> bool:
        raise blobs.StorageFull("The disk is full.")

    monkeypatch.setattr(blobs, "write", lambda raw: hashlib.sha256(raw).hexdigest())
    monkeypatch.setattr(blobs, "ensure", full)

    with pytest.raises(blobs.StorageFull):
        upload(owner=stranger())
    assert [Prediction.objects.count(), Blob.objects.count(), blob_files(media)] == [0, 0, []]


@pytest.mark.files  # SQLite alone has one lock for all, and takes an upload in one statement
def test_upload_is_one_statement(fruit_rows: RegisteredModel, media: Path):
    upload(owner=stranger())  # this connection's first

    with CaptureQueriesContext(connection) as asked:
        upload(picture(1), owner=stranger())

    written = [query["sql"].split(" VALUES")[0] for query in asked if not query["sql"].startswith("SELECT")]
    assert written == ["INSERT INTO new_uploads"]


def write_and_lose(raw: bytes) -> str:
    """As where the last owner of the same bytes erases them just then."""
    sha256 = hashlib.sha256(raw).hexdigest()
    blobs.ensure(sha256, raw)
    blobs.remove(sha256)
    return sha256


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


def judgement(model: RegisteredModel, rows: list[Prediction]) -> Judgement:
    """One in which these photos flipped, not stored yet."""
    snapshot = frozen(model)
    items = snapshot.items.filter(image__in=[row.image for row in rows])
    version = model.desired_version()
    return Judgement(
        candidate=version,
        serving=version,
        test_state=snapshot.test_state,
        passed=True,
        flipped=[{"item": item.pk, "label": item.label} for item in items],
        **{name: {} for name in ("rules", "limits", "figures")},
    )


def test_photos_that_are_erased_at_once_all_leave_a_judgement(fruit_rows: RegisteredModel):
    rows = [reviewed(photo_bytes(seed)) for seed in range(12)]
    judged = judgement(fruit_rows, rows[:6])
    judged.save()
    assert len(judged.flipped) == 6
    waiting = rows[:6]

    at_once(6, lambda: erase(waiting.pop(), erased_by="visitor"))

    judged.refresh_from_db()
    assert judged.flipped == []


def test_photo_that_is_erased_while_a_judgement_is_stored_leaves_it(fruit_rows: RegisteredModel):
    rows = [reviewed(photo_bytes(seed)) for seed in range(12)]
    judged = judgement(fruit_rows, rows[:1])

    def erased() -> None:
        try:
            erase(rows[0], erased_by="visitor")
        finally:
            connection.close()

    with transaction.atomic():
        judged.flipped = without_erased(judged.flipped)
        assert len(judged.flipped) == 1
        thread = threading.Thread(target=erased)
        thread.start()
        time.sleep(0.5)  # an erasure that does not wait for us is over by then
        judged.save()
    thread.join()

    assert Judgement.objects.get().flipped == []
    assert Prediction.objects.get(pk=rows[0].pk).status == "erased"
