"""Desired and loaded: what a worker serves, and what it says about it."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from classifier_core.artifact import load_artifact
from classifier_core.errors import ClassifierError
from recognizer.registry import configurations, serving
from recognizer.registry.models import LoadedVersion, RegisteredModel
from recognizer.registry.promotion import promote, rollback
from tests.recognition import add_version, answered, serve_tiny

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(fruit: RegisteredModel, tiny_folder: Path, settings, tmp_path: Path) -> Path:
    """An artifact folder of our own, to damage."""
    settings.RECOGNIZER_ARTIFACT_DIR = tmp_path / "artifacts"
    shutil.copytree(tiny_folder, tmp_path / "artifacts" / tiny_folder.name)
    return tmp_path / "artifacts"


def force(version) -> None:
    promote(version, by=None, force=True, reason="test")


def models(client: Client) -> dict:
    return {model["name"]: model for model in client.get("/readyz").json()["models"]}


def test_worker_reports_what_it_loaded(client: Client, fruit: RegisteredModel):
    serving.refresh()

    [row] = LoadedVersion.objects.all()
    assert row.version == fruit.desired_version()
    assert (row.engine, row.device, row.error) == ("openvino", "cpu", "")
    assert models(client)["fruit"]["desired"] == 1
    assert [loaded["version"] for loaded in models(client)["fruit"]["loaded"]] == [1]
    assert [loaded["version"] for loaded in client.get("/api/models/fruit/").json()["loaded"]] == [1]


def test_promotion_is_desired_until_loaded(client: Client, store: Path, fruit: RegisteredModel, tiny_folder: Path):
    serving.refresh()
    sha256 = load_artifact(tiny_folder).sha256
    cars = serve_tiny("cars", sha256)

    assert client.get("/api/models/cars/").json()["desired"] == 1
    assert client.get("/api/models/cars/").json()["loaded"] == []
    serving.refresh()
    assert [row["version"] for row in client.get("/api/models/cars/").json()["loaded"]] == [1]
    assert serving.serving_version(cars.pk).row.model == cars


@pytest.mark.parametrize("damage", ["missing", "changed weights", "no graph", "changed graph", "another"])
def test_corrupt_version_leaves_the_previous_one(
    client: Client, store: Path, fruit: RegisteredModel, tiny_folder: Path, damage: str
):
    serving.refresh()
    broken = store / ("b" * 64)
    if damage != "missing":
        shutil.copytree(tiny_folder, broken)
    if damage == "changed weights":
        (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:-1] + b"?")
    if damage == "no graph":
        shutil.rmtree(broken / "engines")
    if damage == "changed graph":
        (broken / "engines" / "onnx" / "model.onnx").write_bytes(b"?")
    force(add_version(fruit, "b" * 64))

    serving.refresh()

    assert answered(client)["model"]["version"] == 1
    shown = models(client)["fruit"]
    assert shown["desired"] == 2
    assert [loaded["version"] for loaded in shown["loaded"]] == [1]
    assert len(shown["errors"]) == 1
    assert len(shown["errors"][0]) > 10


def test_error_goes_with_the_rollback(client: Client, store: Path, fruit: RegisteredModel):
    serving.refresh()
    force(add_version(fruit, "b" * 64))
    serving.refresh()
    rollback(fruit, by=None)

    serving.refresh()

    assert models(client)["fruit"]["errors"] == []
    assert models(client)["fruit"]["desired"] == 1


def test_repaired_version_is_loaded(store: Path, fruit: RegisteredModel, tiny_folder: Path):
    shutil.rmtree(store)
    serving.refresh()
    assert LoadedVersion.objects.get().version is None

    shutil.copytree(tiny_folder, store / tiny_folder.name)
    serving.refresh()

    assert LoadedVersion.objects.get().version == fruit.desired_version()
    assert LoadedVersion.objects.get().error == ""


def test_nothing_promoted_is_an_error(tiny_store: Path):
    with pytest.raises(ClassifierError, match="promoted"):
        serving.serving_version(RegisteredModel.objects.create(name="empty").pk)


def test_silent_worker_is_not_live(client: Client, fruit: RegisteredModel):
    serving.refresh()
    LoadedVersion.objects.update(seen_at=now() - timedelta(seconds=16))

    assert models(client)["fruit"]["loaded"] == []
    assert client.get("/readyz").status_code == 503


def test_stopped_worker_takes_its_report_back(fruit: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    import threading

    monkeypatch.setattr(serving, "_stopping", threading.Event())
    serving.refresh()

    serving.stop()

    assert not LoadedVersion.objects.exists()


def test_precision_of_another_engine_is_not_taken_over(settings, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    from classifier_core.engines import EngineSpec

    # As on a CPU where OpenVINO's bfloat16 was measured and found equal.
    monkeypatch.setattr(configurations, "choose_spec", lambda *_: EngineSpec("openvino", "cpu", "bfloat16"))
    artifact = load_artifact(tiny_folder)

    assert configurations.chosen_spec(artifact) == EngineSpec("openvino", "cpu", "bfloat16")
    settings.RECOGNIZER_ENGINE = "torch"
    assert configurations.chosen_spec(artifact) == EngineSpec("torch", "cpu", "float32")
    settings.RECOGNIZER_PRECISION = "bfloat16"
    assert configurations.chosen_spec(artifact) == EngineSpec("torch", "cpu", "bfloat16")


def test_ready_needs_database_broker_and_worker(client: Client, fruit: RegisteredModel, broker):
    assert client.get("/readyz").json()["checks"] == {"database": True, "broker": True, "worker": False}
    serving.refresh()

    reply = client.get("/readyz")

    assert reply.status_code == 200
    assert reply.json()["ready"]


def test_not_ready_without_a_broker(client: Client, fruit: RegisteredModel):
    serving.refresh()

    assert client.get("/readyz").status_code == 503
    assert not client.get("/readyz").json()["checks"]["broker"]
    assert client.get("/healthz").status_code == 200


def test_models_list_costs_a_constant_number_of_queries(client: Client, fruit: RegisteredModel, tiny_store: Path):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/api/models/").status_code == 200
        return len(captured)

    serving.refresh()
    one = queries()
    for name in ("cars", "digits"):
        serve_tiny(name, tiny_store.name)
    serving.refresh()

    assert queries() == one


def test_model_shows_classes_versions_and_figures(client: Client, fruit: RegisteredModel):
    from recognizer.registry.models import Evaluation

    version = fruit.desired_version()
    Evaluation.objects.create(version=version, dataset="shop", num_images=10, accuracy=0.9)

    shown = client.get("/api/models/fruit/", headers={"Accept-Language": "zh"}).json()

    assert shown["classes"][0] == {"label": "apple", "name": "苹果"}
    assert shown["versions"][0]["metrics"] == [
        {"dataset": "shop", "num_images": 10, "accuracy": 0.9, "macro_recall": None}
    ]
    assert client.get(shown["url"]).status_code == 200
