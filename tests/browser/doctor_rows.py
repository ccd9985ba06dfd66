"""A check-up with findings and a curve, written into a service's database by `manage.py shell`."""

from pathlib import Path
from tempfile import TemporaryDirectory

from classifier_core.datasets.folder import load_dataset
from recognizer.registry.models import RegisteredModel
from recognizer.training.checkup_models import CheckUp, Finding
from recognizer.training.importing import import_base_photos
from recognizer.training.models import BasePhoto
from tests.photo_folders import write_folder

FOUND = {"value": 0.01, "low": 0.001, "high": 0.025}
CURVE = {
    "num_photos": 12,
    "measured": [{"photos": n, "accuracy": {"value": n / 12, "low": n / 13, "high": n / 11}} for n in (3, 6, 9)],
    "fitted": [{"photos": n, "accuracy": {"value": 0.75, "low": 0.7, "high": 0.8}} for n in (3, 6, 12, 24)],
    "half_more": FOUND,
    "classes": [{"label": "apple", "photos": 6, "recall": 0.8, "own": FOUND, "mean": FOUND}],
    "too_few": {"banana": 4},
}


def fill(model_name: str) -> None:
    """A model with twelve base photos, each with a label that a check-up doubts."""
    model = RegisteredModel.objects.create(name=model_name)
    with TemporaryDirectory() as folder:
        photos = load_dataset(write_folder(Path(folder) / "photos", {"apple": 6, "banana": 6}))
        import_base_photos(photos, model, adds_classes=True, by=None)
    checkup = CheckUp.objects.create(
        model=model, status="ready", num_photos=12, curve=CURVE, finished_at=model.created_at, seconds=1.0
    )
    likely = {"apple": "banana", "banana": "apple"}
    for rank, photo in enumerate(BasePhoto.objects.filter(model=model).order_by("source"), 1):
        about = {"blob_id": photo.blob_id, "label": photo.label.key, "likely": likely[photo.label.key]}
        scores = {"label_score": 0.1, "likely_score": 0.8}
        Finding.objects.create(checkup=checkup, kind="label", rank=rank, is_upload=False, **about, **scores)
