"""The statements whose SQL is made once write what the ORM would."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from recognizer.predictions.models import Blob, IdempotencyKey, Prediction, UploadedImage
from recognizer.registry.models import RegisteredModel
from recognizer.statements import Insert, InsertTogether, NewRow, Update

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def blob(sha256: str = "a" * 64, **changes) -> Blob:
    return Blob(sha256=sha256, num_bytes=10, format="PNG", width=3, height=4, **changes)


def prediction(**changes) -> Prediction:
    model, _ = RegisteredModel.objects.get_or_create(name="fruit")
    return Prediction(model=model, visitor=uuid.uuid4(), scores=[["Äpfel, 'rot'", 0.5]], **changes)


def fields_of(row) -> dict:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


@pytest.mark.parametrize("model", [Blob, UploadedImage, Prediction])
def test_new_row_is_what_the_constructor_makes(model: type[Model]):
    values = {model._meta.pk.name: uuid.uuid4(), "created_at": now()}
    ours, theirs = NewRow(model)(**values), model(**values)

    assert fields_of(ours) == fields_of(theirs)
    assert vars(ours).keys() == vars(theirs).keys()
    assert vars(ours._state) == vars(theirs._state)


def test_new_rows_share_nothing():
    new_row = NewRow(Prediction)
    first, second = new_row(), new_row()
    first.scores.append(["apple", 0.5])

    assert second.scores == []
    assert first.pk != second.pk
    assert isinstance(first.pk, uuid.UUID)


def test_insert_stores_each_field():
    user = User.objects.create_user("ada")
    Insert(Blob).run(blob())
    image = UploadedImage(blob_id="a" * 64, user=user, file_name="a'b%s.png", train_allowed=True)
    Insert(UploadedImage).run(image)
    row = prediction(image=image, known=None, score=0.25, started_at=now())

    Insert(Prediction).run(row)

    assert fields_of(Prediction.objects.get()) == fields_of(row)
    assert fields_of(UploadedImage.objects.get()) == fields_of(image)


def test_insert_reads_given_fields_and_gives_the_others_their_defaults():
    row = prediction(top_k=7, attempts=3, label="unread", started_at=now())
    Insert(Prediction, given=("id", "image", "user", "visitor", "model", "top_k", "created_at")).run(row)

    stored = Prediction.objects.get()
    new = Prediction(id=row.id, visitor=row.visitor, model=row.model, top_k=7, created_at=row.created_at)
    assert fields_of(stored) == fields_of(new)


def test_insert_of_many_and_of_none():
    assert Insert(Blob).run(blob("a" * 64), blob("b" * 64)) == 2
    Insert(Blob).run()

    assert Blob.objects.count() == 2


def test_insert_of_an_existing_key():
    Insert(Blob).run(blob())
    with pytest.raises(IntegrityError), transaction.atomic():
        Insert(Blob).run(blob())
    skipping = Insert(Blob, skip_existing=True)

    assert skipping.run(blob()) == 0
    assert skipping.run(blob("b" * 64)) == 1


@pytest.mark.files  # a statement of SQLite
class TestInsertTogether:
    insert = InsertTogether(
        "uploads",
        Insert(Blob, skip_existing=True),
        Insert(UploadedImage),
        Insert(Prediction, given=("id", "image", "visitor", "model", "created_at")),
        Insert(IdempotencyKey),
        unless=lambda sha256: sha256.startswith("f"),
    )

    def upload(self, sha256: str = "a" * 64, *, key: str = "") -> list[Model | None]:
        image = UploadedImage(blob_id=sha256, file_name="a'b%s.png", train_allowed=True)
        row = prediction(image=image)
        row.scores = []
        return [blob(sha256), image, row, IdempotencyKey(scope="me", key=key, prediction=row) if key else None]

    def test_it_stores_each_field_of_each_row(self):
        sets = [self.upload("a" * 64, key="once"), self.upload("b" * 64), self.upload("a" * 64)]

        with CaptureQueriesContext(connection) as asked:
            self.insert.run(sets)
            self.insert.run([self.upload("c" * 64)])

        assert len([query for query in asked if query["sql"].startswith("INSERT")]) == 3  # one before it was prepared
        for _, image, row, _ in sets:
            assert fields_of(UploadedImage.objects.get(pk=image.pk)) == fields_of(image)
            assert fields_of(Prediction.objects.get(pk=row.pk)) == fields_of(row)
        assert IdempotencyKey.objects.get().prediction_id == sets[0][2].pk
        assert Blob.objects.count() == 3

    def test_it_stores_all_or_nothing(self):
        self.insert.run([self.upload("a" * 64, key="once")])

        for last in (self.upload("c" * 64, key="once"), self.upload("f" * 64)):
            with pytest.raises(IntegrityError), transaction.atomic():
                self.insert.run([self.upload("b" * 64), last])
        assert [Blob.objects.count(), UploadedImage.objects.count(), Prediction.objects.count()] == [1, 1, 1]

    def test_two_of_them_do_not_meet(self):
        self.insert.run([self.upload("a" * 64)])
        InsertTogether("blobs", Insert(Blob), unless=lambda _: False).run([[blob("b" * 64)]])

        assert Blob.objects.count() == 2

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_any_number_of_sets(self, number: int):
        self.insert.run([self.upload(f"{place:064}") for place in range(number)])

        assert [Blob.objects.count(), Prediction.objects.count()] == [number, number]

    def test_half_of_it_is_made_anew(self):
        self.insert.run([self.upload("a" * 64)])
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER store_uploads")

        self.insert.run([self.upload("b" * 64)])

        assert Blob.objects.count() == 2


def test_update_writes_only_its_fields_and_only_while_the_rest_holds():
    update = Update(Prediction, fields=["label", "lease_until"], unchanged=["attempts"], required={"status": "running"})
    row = prediction(status="running", attempts=2)
    row.save()
    row.score, until = 0.9, now() + timedelta(seconds=1)

    assert update.run(row, label="Äpfel", lease_until=until)
    stored = Prediction.objects.get()
    assert (stored.label, stored.lease_until, stored.score) == ("Äpfel", until, None)
    assert (row.label, row.lease_until) == ("Äpfel", until)

    row.attempts = 1
    assert not update.run(row, label="late")
    Prediction.objects.update(status="failed", error_detail="no")
    row.attempts = 2
    assert not update.run(row, label="late")
    assert Prediction.objects.get().label == row.label == "Äpfel"


def test_update_takes_columns_and_no_other_names():
    update = Update(Prediction, fields=["image", "label"], unchanged=["attempts"], required={"status": "pending"})
    blob().save()
    image = UploadedImage.objects.create(blob_id="a" * 64)
    row = prediction(image=image)
    row.save()

    assert update.run(row, image_id=None)
    assert Prediction.objects.get().image_id is row.image_id is row.image is None
    with pytest.raises(TypeError, match="score"):
        update.run(row, score=0.5)


def test_update_may_change_what_names_the_row():
    update = Update(Prediction, fields=["status", "attempts"], unchanged=["attempts"], required={"status": "pending"})
    row = prediction()
    row.save()

    assert update.run(row, status="running", attempts=1)
    assert not update.run(row, status="running", attempts=2)
    assert (Prediction.objects.get().attempts, row.attempts) == (1, 1)


def test_update_of_several_rows_counts_those_that_took_the_values():
    update = Update(Prediction, fields=["status", "attempts"], unchanged=["attempts"], required={"status": "pending"})
    rows = [prediction() for _ in range(3)]
    for row in rows:
        row.save()

    assert update.run_all(rows[:2], status="running", attempts=1) == 2
    assert [row.attempts for row in rows] == [1, 1, 0]
    assert update.run_all(rows, status="running", attempts=1) < 3
    assert [row.attempts for row in rows] == [1, 1, 0]
