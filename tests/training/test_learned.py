"""What is said of photos that a model learned from before they judge it."""

import shutil

import pytest
from django.conf import settings

from classifier_core.artifact import load_artifact
from classifier_core.datasets.folder import sha256_of
from recognizer.registry.models import LearnedPhoto, ModelVersion, RegisteredModel
from recognizer.training.learned import doubts
from tests.photo_folders import write_folder
from tests.tiny_artifact import build_tiny

pytestmark = pytest.mark.django_db


def test_starter_knows_its_training_photos_by_name(tmp_path):
    names = (settings.BASE_DIR / "starters/fruit/lists/train.txt").read_text().split()[::2]
    photos = [(tmp_path / name, "apple") for name in (names[0], "apple/of-my-own.jpg")]
    copied = shutil.copytree(settings.BASE_DIR / "starters/fruit", tmp_path / "fruit", ignore=lambda *_: {"lists"})

    [said] = doubts([load_artifact(copied)], photos, tmp_path)

    assert "learned from photos with the names of 1 of these 2. If they are the same" in said


def test_version_of_a_run_here_knows_its_training_photos_by_their_bytes(tmp_path):
    build_tiny(tmp_path / "artifact")
    artifact, photos = (
        load_artifact(tmp_path / "artifact"),
        sorted(write_folder(tmp_path / "a", {"b": 2}).rglob("*.png")),
    )
    model = RegisteredModel.objects.create(name="shelf")
    version = ModelVersion.objects.create(
        model=model, number=1, artifact_sha256=artifact.sha256, num_classes=8, manifest={}
    )
    LearnedPhoto.objects.create(version=version, blob_sha256=sha256_of(photos[0]))

    [said] = doubts([artifact], [(path, "b") for path in photos], tmp_path / "a")

    assert "learned from 1 of these 2 photos" in said
