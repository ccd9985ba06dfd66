"""Production keeps bytes in an S3-compatible bucket: the same steps, on a real S3 protocol server."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from moto.server import ThreadedMotoServer
from PIL import Image
from pytest_django import Settings

from recognizer.predictions import blobs, renditions
from recognizer.predictions.erasure import erase
from recognizer.predictions.intake import PredictOptions, Upload, submit
from recognizer.predictions.models import Blob, Owner, Prediction
from recognizer.registry import artifact_store
from recognizer.storage import StorageUnavailable
from tests.registry_rows import promoted_version

BUCKET = "recognizer"


@pytest.fixture
def bucket(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    """The default storage, in a bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    options = {
        "bucket_name": BUCKET,
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "file_overwrite": True,
        "client_config": Config(connect_timeout=1, retries={"max_attempts": 0}),
    }
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options},
    }
    yield server
    server.stop()


def photo() -> bytes:
    encoded = BytesIO()
    Image.effect_noise((320, 240), 60).convert("RGB").save(encoded, "JPEG")
    return encoded.getvalue()


@pytest.mark.django_db
@pytest.mark.usefixtures("bucket")
def test_upload_lives_in_the_bucket_until_erased() -> None:
    version = promoted_version("cars")
    raw = photo()

    prediction = submit(Upload(raw), owner=Owner(), options=PredictOptions(model=version.model.name)).prediction
    sha256 = Blob.objects.get().sha256

    assert blobs.read(sha256) == raw
    assert Image.open(BytesIO(renditions.rendition(sha256, "thumbnail"))).size == (320, 240)
    erase(prediction, erased_by="visitor")
    assert not default_storage.exists(blobs.name_of(sha256))
    assert not default_storage.exists(renditions.name_of(sha256, "thumbnail"))


@pytest.mark.usefixtures("bucket")
def test_artifact_reaches_a_second_machine(settings: Settings, tmp_path: Path) -> None:
    fruit = Path(settings.BASE_DIR) / "starters" / "fruit"
    identity = artifact_store.load_artifact(fruit).sha256
    for name in ("artifact.json", "model.safetensors"):
        default_storage.save(f"artifacts/{identity}/{name}", ContentFile((fruit / name).read_bytes()))
    settings.RECOGNIZER_ARTIFACT_DIR = tmp_path / "second machine"

    assert artifact_store.fetch(identity).sha256 == identity
    # No scratch folder is left behind.
    assert [path.name for path in (tmp_path / "second machine").iterdir()] == [identity]


@pytest.mark.django_db
def test_bucket_that_is_down_is_said_in_words(bucket: ThreadedMotoServer, client: Client) -> None:
    model = promoted_version("cars").model
    prediction = submit(Upload(photo()), owner=Owner(), options=PredictOptions(model=model.name)).prediction
    bucket.stop()

    with pytest.raises(StorageUnavailable):
        renditions.rendition(prediction.image.blob_id, "thumbnail")
    reply = client.post("/", {"images": SimpleUploadedFile("car.jpg", photo()), "model": model.name})

    assert reply.status_code == 503
    assert "The image store does not answer" in reply.content.decode()
    assert Prediction.objects.get() == prediction


@pytest.mark.django_db
def test_erasing_while_the_bucket_is_down_changes_nothing(
    bucket: ThreadedMotoServer, client: Client, admin_user: User
) -> None:
    model = promoted_version("cars").model
    owner, options = Owner(user=admin_user), PredictOptions(model=model.name)
    prediction = submit(Upload(photo()), owner=owner, options=options).prediction
    client.force_login(admin_user)
    bucket.stop()

    reply = client.post(f"/predictions/{prediction.pk}/erase/", follow=True)

    assert "The image store does not answer" in reply.content.decode()
    assert Prediction.objects.get().status == Prediction.Status.PENDING
