"""Uploads with a review, base photos and frozen snapshots, made by the steps that make them in life."""

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from PIL import Image

from classifier_core.datasets.folder import load_dataset
from recognizer.predictions.models import Owner, Prediction, Review
from recognizer.predictions.review import record
from recognizer.registry.models import Label, RegisteredModel
from recognizer.training.asking import ask_for_snapshot
from recognizer.training.importing import Imported, import_base_photos
from recognizer.training.models import DatasetSnapshot
from recognizer.training.options import SnapshotOptions
from recognizer.training.snapshots import freeze
from tests.photo_folders import COLOURS, picture, write_folder
from tests.recognition import upload

LABELS = ("apple", "banana")


def photo_bytes(seed: int, *, image_format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture of its own for each seed, none like another."""
    return encoded(picture(seed, colour=COLOURS[seed % len(COLOURS)]), image_format, **options)


def encoded(image: Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, image_format, **options)
    return file.getvalue()


def answered(
    raw: bytes, *, label: str = "apple", owner: Owner | None = None, allowed: bool = True, at: datetime | None = None
) -> Prediction:
    """An upload that was answered."""
    row = upload(raw, owner=owner or Owner(user=person("uploader")), train_allowed=allowed)
    version = row.model.desired_version()
    fields = {"status": "succeeded", "version": version, "label": label, "score": 0.9, "scores": [[label, 0.9]]}
    Prediction.objects.filter(pk=row.pk).update(**fields, created_at=at or row.created_at)
    return Prediction.objects.get(pk=row.pk)


def reviewed(raw: bytes, label: str = "apple", **options: Any) -> Prediction:
    """An upload that was answered, and the answer confirmed."""
    row = answered(raw, label=label, **options)
    record(row, verdict=Review.Verdict.CONFIRMED, reviewer=person("judge"))
    return row


def reject(row: Prediction) -> None:
    record(row, verdict=Review.Verdict.REJECTED, reviewer=person("judge"))


def person(name: str) -> User:
    return User.objects.get_or_create(username=name)[0]


def with_base_photos(
    model: RegisteredModel, folder: Path, *, each: int = 30, labels: tuple[str, ...] = LABELS
) -> Imported:
    """The model gets so many base photos of each label."""
    write_folder(folder, dict.fromkeys(labels, each))
    return import_base_photos(load_dataset(folder), model, adds_classes=False, by=None)


def frozen(model: RegisteredModel, *, features: bool = False, **options: Any) -> DatasetSnapshot:
    """A snapshot that a worker has filled."""
    chosen = SnapshotOptions(features=features, **options)
    snapshot = ask_for_snapshot(model, chosen, by=None, rings=False)
    assert snapshot.start()
    freeze(snapshot)
    row = DatasetSnapshot.objects.get(pk=snapshot.pk)
    assert row.status == "ready", row.error
    return row


def parts_of(snapshot: DatasetSnapshot) -> dict[str, str]:
    """The part of each photo, by SHA-256."""
    return dict(snapshot.items.alive().values_list("blob_id", "part"))


def label(key: str) -> Label:
    return Label.objects.get(key=key)


def noise(seed: int, side: int = 200) -> Image.Image:
    """A picture with detail, which a network may compare."""
    values = np.random.default_rng(seed).integers(0, 255, (13, 13, 3)).astype(np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)
