"""A real network small enough for unit tests, its rows, and pictures to send to it."""

import fcntl
import io
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from PIL import Image
from pytest_django import Settings

from classifier_core.artifact import load_artifact
from classifier_core.classifier import load_classifier
from recognizer import broker
from recognizer.predictions import doorbell
from recognizer.predictions.intake import PredictOptions, Upload, submit
from recognizer.predictions.models import Owner, Prediction
from recognizer.predictions.tasks import classify_pending
from recognizer.registry import idle, serving, standby
from recognizer.registry.models import Label, ModelVersion, RegisteredModel
from recognizer.registry.promotion import promote
from tests.tiny_artifact import NAMES

_BUILD = "import sys; from tests.tiny_artifact import build_tiny; build_tiny(sys.argv[1], export=True)"
_load_once = cache(load_classifier)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The tiny artifact with its exported graph, in a folder named by its hash. Copy it, never change it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "tiny"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(shared.glob("*/artifact.json")):
            # In a process of its own: torch takes 500 MB and many seconds that most tests do without.
            building = [sys.executable, "-c", _BUILD, str(shared / "new")]
            subprocess.run(building, check=True, cwd=Path(__file__).parents[1])
            (shared / "new").rename(shared / load_artifact(shared / "new").sha256)
    return next(shared.glob("*/artifact.json")).parent


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing loaded, no memory of a broker: as a process starts. Equal artifacts are compiled once a run."""
    monkeypatch.setattr(serving, "load_classifier", _load_once)
    monkeypatch.setattr(serving, "_loaded", {})
    monkeypatch.setattr(serving, "_errors", {})
    monkeypatch.setattr(idle, "resting", {})
    monkeypatch.setattr(idle, "_asked_at", {})
    monkeypatch.setattr(standby, "_versions", {})
    monkeypatch.setattr(doorbell._quiet, "until", 0.0)
    broker.forget()


@pytest.fixture
def tiny_store(tiny_folder: Path, settings: Settings, fresh_process: None) -> Path:
    """The tiny artifact is where workers look for it."""
    settings.RECOGNIZER_ARTIFACT_DIR = tiny_folder.parent
    return tiny_folder


@pytest.fixture
def fruit(tiny_store: Path, settings: Settings, db: None) -> RegisteredModel:
    """The default model: version 1 is the tiny artifact and is promoted. Nobody waits for answers."""
    settings.RECOGNIZER_DEFAULT_MODEL = "fruit"
    settings.RECOGNIZER_WAIT_SECONDS = 0
    return serve_tiny("fruit", tiny_store.name)


@pytest.fixture
def fruit_rows(settings: Settings, fresh_process: None, db: None) -> RegisteredModel:
    """Like fruit, for tests in which nobody answers: there is no artifact, which takes long to build."""
    settings.RECOGNIZER_DEFAULT_MODEL = "fruit"
    settings.RECOGNIZER_WAIT_SECONDS = 0
    return serve_tiny("fruit", "0" * 64)


def serve_tiny(name: str, sha256: str) -> RegisteredModel:
    """A registered model whose first version is this artifact of build_tiny, promoted."""
    model = RegisteredModel.objects.create(name=name, description="Eight fruits.")
    Label.objects.bulk_create(Label(model=model, key=key, names=names) for key, names in NAMES.items())
    promote(add_version(model, sha256), by=None)
    return model


def add_version(model: RegisteredModel, sha256: str) -> ModelVersion:
    """One more version of the model, not promoted."""
    return ModelVersion.objects.create(
        model=model,
        number=model.versions.count() + 1,
        artifact_sha256=sha256,
        architecture="mobilenetv3_small_050",
        num_classes=len(NAMES),
        manifest={},
    )


def picture(seed: int = 0, *, size: tuple[int, int] = (80, 60), kind: str = "JPEG", **options: Any) -> bytes:
    """A picture file of its own for each seed: a colour with a gradient over it."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0, 1, size[0])[None, :, None] * random.integers(0, 128, 3)
    pixels = np.broadcast_to(slope + random.integers(0, 128, 3), (size[1], size[0], 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def undecodable() -> bytes:
    """A header that is fine, pixels that are not: half a PNG."""
    raw = picture(size=(300, 300), kind="PNG")
    return raw[: len(raw) // 2]


def upload(raw: bytes | None = None, *, owner: Owner, **options: Any) -> Prediction:
    """A pending prediction, as the API makes it."""
    chosen = PredictOptions(**{"model": "fruit", **options})
    return submit(Upload(picture() if raw is None else raw, "a.jpg"), owner=owner, options=chosen).prediction


def blob_files(media: Path) -> list[Path]:
    """Every stored original, half-written ones too."""
    return [path for path in (media / "blobs").rglob("*") if path.is_file()]


def post(client: Client, raw: bytes | None = None, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """Upload as a form does."""
    file = SimpleUploadedFile("a.jpg", picture() if raw is None else raw)
    return client.post("/api/predict/", {"image": file, **fields}, headers=headers)


def answered(client: Client, raw: bytes | None = None, **fields: Any) -> dict[str, Any]:
    """Upload, let a worker answer, and read the answer."""
    pending = post(client, raw, **fields).json()
    work()
    return client.get(pending["url"]).json()


def work() -> None:
    """What workers do until nothing waits."""
    while Prediction.objects.pending().exists():
        classify_pending()


def both(request: Any) -> list[Any]:
    """Two requests that start together."""
    start, replies = threading.Barrier(2), []

    def run() -> None:
        start.wait()
        replies.append(request())
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies
