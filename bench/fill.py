"""Fill a data folder with many recognitions: `RECOGNIZER_DATA_DIR=/tmp/full python -m bench.fill --predictions 100000`.

The rows look like a year of use: two models with two versions each, labels as uneven as in life, users and visitors,
failures, tombstones and reviews. The pictures are a few small ones, so that pages have something to show.
"""

import argparse
import io
import os
import random
import uuid
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils.timezone import now  # noqa: E402
from PIL import Image  # noqa: E402

from bench.copies import copy_rows  # noqa: E402
from recognizer.predictions import blobs  # noqa: E402
from recognizer.predictions.models import Blob, Feedback, Prediction, Review, UploadedImage  # noqa: E402
from recognizer.registry.models import Label, LoadedVersion, ModelVersion, Promotion, RegisteredModel  # noqa: E402

CHUNK_ROWS = 2_000
MAX_MADE = 50_000  # the ORM makes three thousand in a second
ROWS_PER_BLOB = 100
REVIEWED = 0.1  # of all answers
NUM_PICTURES = 12  # blobs beyond share their look, not their bytes' name
FRUITS = ["apple", "banana", "cherry", "grape", "kiwi", "lemon", "mango", "orange", "pear", "plum"]
YEAR = timedelta(days=365)
Status = Prediction.Status


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", type=int, default=100_000, help="0: only users, models and labels")
    parser.add_argument("--labels", type=int, default=1_000, help="classes of the larger model")
    parser.add_argument("--reviewed", type=float, default=REVIEWED, help="share of the answers that have a verdict")
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    fill_and_copy(given.predictions, num_labels=given.labels, reviewed=given.reviewed)
    _settle()
    print(f"{Prediction.objects.count():,} recognitions, {Review.objects.count():,} reviews")


def _settle() -> None:
    """What PostgreSQL does by itself within minutes of so many new rows, and would do beside the first pages."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")


def fill_and_copy(num_predictions: int, *, num_labels: int, reviewed: float = REVIEWED) -> None:
    """Add this many recognitions: the first MAX_MADE or less row by row, the others as copies of them."""
    num_made = max(1, min(num_predictions, MAX_MADE))
    if num_predictions % num_made:
        raise SystemExit(f"Above {MAX_MADE:,} choose a multiple of it.")
    fill(min(num_predictions, num_made), num_labels=num_labels, reviewed=reviewed)
    copy_rows(num_predictions // num_made - 1)


def fill(num_predictions: int, *, num_labels: int = 1_000, reviewed: float = REVIEWED, seed: int = 1) -> None:
    """Add this many recognitions, newest about now. The same seed makes the same rows, apart from their times."""
    chance = random.Random(seed)
    models = [_create_model("fruit-demo", FRUITS), _create_model("things-demo", _thing_names(num_labels))]
    people = [User.objects.get_or_create(username=f"person{number}")[0] for number in range(20)]
    pictures = [_picture(number) for number in range(NUM_PICTURES)]
    for first in range(0, num_predictions, CHUNK_ROWS):
        size = min(CHUNK_ROWS, num_predictions - first)
        times = [now() - YEAR * (1 - (first + number) / num_predictions) for number in range(size)]
        with transaction.atomic():
            answered = _create_chunk(times, models=models, people=people, pictures=pictures, chance=chance)
            _create_reviews(answered, reviewed, reviewer=people[0], chance=chance)
            _create_claims(answered, chance)


@cache
def _thing_names(number: int) -> list[str]:
    return [f"thing-{position:04}" for position in range(number)]


def _create_model(name: str, keys: list[str]) -> list[ModelVersion]:
    model, is_new = RegisteredModel.objects.get_or_create(name=name, defaults={"description": "Made by the bench."})
    if not is_new:
        return list(model.versions.order_by("number"))
    Label.objects.bulk_create(
        Label(model=model, key=key, names={"en": key.replace("-", " ").capitalize(), "zh": f"名{key}"}) for key in keys
    )
    versions = [_create_version(model, number, num_classes=len(keys)) for number in (1, 2)]
    for version in versions:
        Promotion.objects.create(model=model, version=version, kind=Promotion.Kind.FIRST, gate="Skipped: bench.")
    LoadedVersion.objects.create(worker="bench:1", model=model, version=versions[-1], engine="openvino", device="cpu")
    return versions


def _create_version(model: RegisteredModel, number: int, *, num_classes: int) -> ModelVersion:
    return ModelVersion.objects.create(
        model=model,
        number=number,
        artifact_sha256=f"{model.pk:032x}{number:032x}",
        architecture="mobilenet_v2",
        num_classes=num_classes,
        manifest={"format": 1, "provenance": {"snapshot_sha256": f"{number:064x}"}},
    )


def _picture(number: int) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (64, 48), (number * 20 % 256, 160, 255 - number * 20 % 256)).save(encoded, "JPEG")
    return encoded.getvalue()


def _create_chunk(
    times: list[datetime], *, models: Any, people: Any, pictures: Any, chance: random.Random
) -> list[Prediction]:
    """A recognition for each of these times. Gives those with an answer."""
    stored = [_create_blob(chance.choice(pictures)) for _ in range(0, len(times), ROWS_PER_BLOB)]
    rows = [
        _row(at, blob=stored[number // ROWS_PER_BLOB], models=models, people=people, chance=chance)
        for number, at in enumerate(times)
    ]
    UploadedImage.objects.bulk_create([row.image for row in rows if row.image])
    Prediction.objects.bulk_create(rows)
    return [row for row in rows if row.status == Status.SUCCEEDED]


def _create_blob(raw: bytes) -> Blob:
    blob, _ = Blob.objects.get_or_create(
        sha256=blobs.write(raw), defaults={"num_bytes": len(raw), "format": "JPEG", "width": 64, "height": 48}
    )
    return blob


def _row(at: datetime, *, blob: Blob, models: Any, people: Any, chance: random.Random) -> Prediction:
    versions = chance.choices(models, [3, 7])[0]
    version = chance.choice(versions)
    user = chance.choice(people) if chance.random() < 0.6 else None
    owner = {"user": user, "visitor": None if user else uuid.UUID(int=chance.getrandbits(16))}
    status = chance.choices([Status.SUCCEEDED, Status.FAILED, Status.ERASED, Status.PENDING], [960, 25, 10, 5])[0]
    image = UploadedImage(
        blob=blob, file_name=f"IMG_{chance.randrange(10**6):06}.jpg", created_at=at, train_allowed=user is None, **owner
    )
    row = Prediction(model_id=version.model_id, image=image, created_at=at, status=status, **owner)
    _end(row, version, chance)
    return row


def _end(row: Prediction, version: ModelVersion, chance: random.Random) -> None:
    if row.status == Status.PENDING:
        return
    row.attempts, row.started_at = 1, row.created_at + timedelta(milliseconds=2)
    row.finished_at = row.created_at + timedelta(milliseconds=15)
    if row.status == Status.FAILED:
        row.error_code, row.error_detail = "undecodable", "The picture is cut off. Send the whole file."
    elif row.status == Status.ERASED:
        row.image = row.user = row.visitor = None
    else:
        _answer(row, version, chance)


def _answer(row: Prediction, version: ModelVersion, chance: random.Random) -> None:
    keys = FRUITS if version.num_classes == len(FRUITS) else _thing_names(version.num_classes)
    # As uneven as in life: the first labels come most often.
    best = [keys[min(int(chance.expovariate(8 / len(keys))), len(keys) - 1)], *chance.sample(keys, 4)]
    score = round(chance.betavariate(5, 1.5), 6)
    rest = [round((1 - score) * share, 6) for share in (0.5, 0.25, 0.15, 0.1)]
    row.version, row.label, row.score, row.known = version, best[0], score, score > 0.35
    row.scores = [list(pair) for pair in zip(best, [score, *rest], strict=True)]
    row.engine, row.device, row.precision = "openvino", "cpu", "bfloat16"
    row.decode_ms, row.inference_ms = 2.1, 5.2


def _create_reviews(answered: list[Prediction], share: float, *, reviewer: User, chance: random.Random) -> None:
    models = {row.model_id for row in answered}
    labels = {(label.model_id, label.key): label for label in Label.objects.filter(model__in=models)}
    verdicts = [Review.Verdict.CONFIRMED, Review.Verdict.CORRECTED, Review.Verdict.REJECTED]
    reviews = [
        Review(
            prediction=row,
            verdict=(verdict := chance.choices(verdicts, [70, 25, 5])[0]),
            label=None if verdict == Review.Verdict.REJECTED else labels[row.model_id, row.label],
            previous_label=row.label,
            reviewer=reviewer,
        )
        for row in chance.sample(answered, round(len(answered) * share))
    ]
    Review.objects.bulk_create(reviews)
    for review in reviews:
        review.prediction.verdict = review.verdict
    Prediction.objects.bulk_update([review.prediction for review in reviews], ["verdict"])


def _create_claims(answered: list[Prediction], chance: random.Random) -> None:
    Feedback.objects.bulk_create(
        Feedback(prediction=row, visitor=row.visitor, user=row.user, is_correct=False, claimed_label="something else")
        for row in chance.sample(answered, len(answered) // 50)
    )


if __name__ == "__main__":
    main()
