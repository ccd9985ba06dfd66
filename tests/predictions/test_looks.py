"""Near-duplicates among uploads: found later, kept as one number, and gone with an erased picture."""

import io
import time
import uuid

import numpy as np
import pytest
from PIL import Image, ImageOps

from recognizer.predictions import blobs
from recognizer.predictions.erasure import erase
from recognizer.predictions.looks import look_at_new
from recognizer.predictions.models import Blob, Look, Owner, Prediction
from recognizer.registry.models import RegisteredModel
from tests.recognition import upload

pytestmark = [pytest.mark.django_db, pytest.mark.files]


def scene(seed: int) -> Image.Image:
    """Soft blots of grey, as different for two seeds as two photos are."""
    blots = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(blots).resize((320, 240), Image.Resampling.BICUBIC)


def as_file(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def answered(raw: bytes) -> Prediction:
    """An upload as a worker leaves it; what it answered does not matter here."""
    row = upload(raw, owner=Owner(visitor=uuid.uuid4()))
    answer = {"status": "succeeded", "label": "apple", "score": 0.9, "version": row.model.desired_version()}
    Prediction.objects.filter(pk=row.pk).update(**answer)
    return row


def look(seconds: float = 60) -> int:
    return look_at_new(until=time.monotonic() + seconds, is_busy=lambda: False)


def group(row: Prediction) -> int | None:
    return Blob.objects.get(images__predictions=row).look_group


def test_saved_again_turned_and_mirrored_are_one_group(fruit_rows: RegisteredModel):
    first = answered(as_file(scene(1)))
    others = [answered(as_file(scene(seed))) for seed in range(2, 8)]
    look()
    changes = [ImageOps.mirror, ImageOps.flip, lambda image: image.rotate(90, expand=True), lambda image: image]
    copies = [answered(as_file(change(scene(1)), quality=60)) for change in changes]
    look()

    assert {group(copy) for copy in copies} == {group(first)}
    assert len({group(row) for row in [first, *others]}) == 7


def test_pictures_of_one_run_find_each_other(fruit_rows: RegisteredModel):
    rows = [answered(as_file(scene(1), quality)) for quality in (60, 75, 90)]

    assert look() == 3
    assert len({group(row) for row in rows}) == 1
    assert look() == 0


def test_only_answered_pictures_are_looked_at(fruit_rows: RegisteredModel):
    waiting = upload(as_file(scene(1)), owner=Owner(visitor=uuid.uuid4()))

    assert look() == 0
    assert group(waiting) is None


def test_a_busy_worker_does_not_even_search(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert look_at_new(until=time.monotonic() + 60, is_busy=lambda: True) == 0


def test_nothing_is_looked_at_while_something_waits(fruit_rows: RegisteredModel):
    answered(as_file(scene(1)))

    assert look_at_new(until=time.monotonic() + 60, is_busy=lambda: True) == 0
    assert look(seconds=-1) == 0


def test_missing_file_is_a_group_of_its_own_and_not_tried_again(fruit_rows: RegisteredModel):
    row, other = answered(as_file(scene(1))), answered(as_file(scene(2)))
    blobs.remove(row.image.blob_id)

    assert look() == 2
    assert group(row) not in (None, group(other))
    assert look() == 0


def test_erasing_a_picture_erases_its_look(fruit_rows: RegisteredModel):
    first, copy = answered(as_file(scene(1))), answered(as_file(scene(1), 60))
    look()

    erase(first, erased_by="visitor")

    assert Look.objects.count() == 1
    assert group(copy) is not None


def test_looking_reads_few_rows(fruit_rows: RegisteredModel, django_assert_max_num_queries):
    for seed in range(5):
        answered(as_file(scene(seed)))

    with django_assert_max_num_queries(2 + 5 * 5):  # to begin with, and for each: savepoint, lock, insert, update
        look()
