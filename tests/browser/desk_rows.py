"""Answers to review, written into a service's database by `manage.py shell`: hundreds without their uploads."""

import io
import random
from datetime import timedelta

import numpy as np
from django.contrib.auth.models import User
from django.utils.timezone import now
from PIL import Image

from recognizer.predictions import blobs
from recognizer.predictions.models import Blob, Feedback, Prediction, UploadedImage
from recognizer.registry.models import Label, ModelVersion, RegisteredModel

NAMES = {"apple": "苹果", "banana": "香蕉", "cherry": "樱桃", "plum": "李子"}


def fill(model_name: str, number: int, *, num_alike: int = 1) -> None:
    """This many answers of a model of this name, newest last; `num_alike` share one picture and one answer."""
    version = _version(RegisteredModel.objects.create(name=model_name))
    chance = random.Random(number)
    for position in range(number):
        if position % num_alike == 0:
            blob, (best, second) = _picture(position), chance.sample(sorted(NAMES), 2)
        image = UploadedImage.objects.create(blob=blob, file_name=f"{position}.jpg")
        score = round(chance.uniform(0.4, 0.99), 3)
        Prediction.objects.create(
            image=image,
            model=version.model,
            version=version,
            status=Prediction.Status.SUCCEEDED,
            created_at=now() - timedelta(seconds=number - position),
            finished_at=now(),
            label=best,
            score=score,
            scores=[[best, score], [second, round(1 - score, 3)]],
            known=True,
        )


def _version(model: RegisteredModel) -> ModelVersion:
    Label.objects.bulk_create(
        Label(model=model, key=key, names={"en": key.title(), "zh": chinese}) for key, chinese in NAMES.items()
    )
    return ModelVersion.objects.create(
        model=model,
        number=1,
        artifact_sha256=f"{model.pk:064x}",
        architecture="mobilenet_v2",
        num_classes=len(NAMES),
        manifest={},
    )


def _picture(seed: int) -> Blob:
    blots = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(blots).resize((160, 120), Image.Resampling.BICUBIC).save(file, "JPEG")
    raw = file.getvalue()
    size = {"num_bytes": len(raw), "format": "JPEG", "width": 160, "height": 120}
    return Blob.objects.get_or_create(sha256=blobs.write(raw), defaults=size)[0]


def claim(model_name: str) -> None:
    """A user says of the newest answer that it is a plum."""
    newest = Prediction.objects.filter(model__name=model_name).order_by("-created_at")[0]
    plum = Label.objects.get(model=newest.model, key="plum")
    Feedback.objects.create(prediction=newest, is_correct=False, claimed_label="Plum", label=plum)


def add_reviewer(name: str, password: str) -> None:
    User.objects.filter(username=name).exists() or User.objects.create_superuser(name, password=password)
