"""A model that nobody asks for leaves memory, is no outage meanwhile, and comes back with the next request."""

import threading
import time
import uuid
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from recognizer.predictions.classify import classify
from recognizer.predictions.models import Owner, Prediction
from recognizer.registry import idle, serving, standby
from recognizer.registry.models import LoadedVersion, ModelVersion, RegisteredModel
from recognizer.registry.promotion import promote
from tests.recognition import add_version, answered, picture, serve_tiny, upload, work
from tests.trial_rows import candidate, mixed_up_folder  # noqa: F401

pytestmark = pytest.mark.django_db
AFTER = 60


@pytest.fixture
def resting(fruit: RegisteredModel, settings: Settings) -> RegisteredModel:
    """A model that was loaded, and that nobody asked for since."""
    settings.RECOGNIZER_UNLOAD_AFTER = AFTER
    serving.refresh()
    pass_time(fruit)
    return fruit


def pass_time(*models: RegisteredModel) -> None:
    """As if nobody had asked for these for a while, and the worker looks."""
    for model in models:
        idle._asked_at[model.pk] -= AFTER
    serving.refresh()


def in_memory(client: Client, path: str = "/api/models/fruit/") -> list[bool]:
    return [one["in_memory"] for one in client.get(path).json()["loaded"]]


def test_model_that_nobody_asked_for_leaves_memory(client: Client, resting: RegisteredModel, broker):
    serving.refresh()  # and is not loaded again by itself

    assert not serving._loaded
    assert in_memory(client) == [False]
    row = LoadedVersion.objects.get()
    assert (row.version, row.engine, row.error) == (resting.desired_version(), "openvino", "")
    assert client.get("/readyz").status_code == 200


def test_only_the_idle_one_leaves(fruit: RegisteredModel, tiny_store: Path, settings: Settings):
    settings.RECOGNIZER_UNLOAD_AFTER = AFTER
    cars = serve_tiny("cars", tiny_store.name)
    serving.refresh()
    idle._asked_at[fruit.pk] -= AFTER
    idle._asked_at[cars.pk] -= AFTER - 1

    serving.refresh()
    assert serving._loaded.keys() == {cars.pk}
    serving.serving_version(cars.pk)
    pass_time()
    assert serving._loaded.keys() == {cars.pk}


def test_zero_keeps_all_models(fruit: RegisteredModel, settings: Settings):
    settings.RECOGNIZER_UNLOAD_AFTER = 0
    serving.refresh()
    pass_time(fruit)

    assert serving._loaded.keys() == {fruit.pk}


@pytest.mark.django_db(transaction=True)
def test_the_next_request_brings_it_back(client: Client, resting: RegisteredModel):
    assert answered(client)["model"]["version"] == 1

    serving.refresh()
    assert in_memory(client) == [True]
    assert LoadedVersion.objects.get().unloaded_at is None


@pytest.mark.django_db(transaction=True)
def test_no_lease_runs_while_it_loads(resting: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    may_load, load = threading.Event(), serving.load
    monkeypatch.setattr(serving, "load", lambda row: may_load.wait(20) and load(row))
    row = upload(picture(), owner=Owner(visitor=uuid.uuid4()))

    classify(claim, until=time.monotonic() + 0.1)
    waiting = Prediction.objects.get(pk=row.pk)
    may_load.set()
    work()

    assert (waiting.status, waiting.attempts) == ("pending", 0)
    done = Prediction.objects.get(pk=row.pk)
    assert (done.status, done.attempts) == ("succeeded", 1)


def claim(limit: int, *, alone: bool, without: Collection[int]) -> list[Prediction]:
    return Prediction.objects.claim(limit=limit, lease=timedelta(seconds=15), alone=alone, without=without)


@pytest.mark.django_db(transaction=True)
def test_others_are_answered_while_it_loads(
    resting: RegisteredModel, tiny_store: Path, monkeypatch: pytest.MonkeyPatch
):
    serve_tiny("cars", tiny_store.name)
    serving.refresh()
    may_load, load = threading.Event(), serving.load
    monkeypatch.setattr(serving, "load", lambda row: may_load.wait(20) and load(row))
    slow, quick = (upload(picture(), owner=Owner(visitor=uuid.uuid4()), model=name) for name in ("fruit", "cars"))

    classify(claim, until=time.monotonic() + 1)
    answered_beside = Prediction.objects.get(pk=quick.pk).status
    may_load.set()
    work()

    assert answered_beside == "succeeded"
    done = Prediction.objects.get(pk=slow.pk)
    assert (done.status, done.attempts) == ("succeeded", 1)


@pytest.mark.django_db(transaction=True)
def test_load_that_fails_oddly_ends_the_waiting(resting: RegisteredModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "load", lambda row: 1 / 0)
    row = upload(picture(), owner=Owner(visitor=uuid.uuid4()))

    with pytest.raises(ZeroDivisionError):
        classify(claim, until=time.monotonic() + 20)

    assert Prediction.objects.get(pk=row.pk).attempts == 1  # it ends after five


def test_who_answers_with_it_keeps_it(resting: RegisteredModel):
    mine = serving.serving_version(resting.pk)
    expected = mine.classifier.classify([], top_k=1)
    pass_time(resting)

    assert not serving._loaded
    assert mine.classifier.classify([], top_k=1) == expected


def test_promotion_of_a_resting_model_is_loaded(resting: RegisteredModel, candidate: ModelVersion):  # noqa: F811
    promote(candidate, by=None, force=True, reason="test")
    serving.refresh()

    assert serving._loaded[resting.pk].row == candidate
    assert LoadedVersion.objects.get().version == candidate
    assert LoadedVersion.objects.get().unloaded_at is None


@pytest.mark.django_db(transaction=True)
def test_corrupt_promotion_brings_the_resting_one_back(client: Client, resting: RegisteredModel):
    promote(add_version(resting, "b" * 64), by=None, force=True, reason="test")
    serving.refresh()
    assert LoadedVersion.objects.get().version.number == 1
    assert LoadedVersion.objects.get().error

    assert answered(client)["model"]["version"] == 1


@pytest.mark.django_db(transaction=True)
def test_resting_one_that_is_broken_is_an_outage(
    client: Client, resting: RegisteredModel, settings: Settings, tmp_path: Path, broker
):
    store, settings.RECOGNIZER_ARTIFACT_DIR = settings.RECOGNIZER_ARTIFACT_DIR, tmp_path
    assert answered(client)["status"] == "failed"
    serving.refresh()

    row = LoadedVersion.objects.get()
    assert (row.version, row.unloaded_at) == (None, None)
    assert row.error
    assert client.get("/readyz").status_code == 503
    settings.RECOGNIZER_ARTIFACT_DIR = store  # repaired, it is loaded before anybody asks
    serving.refresh()
    assert (LoadedVersion.objects.get().error, in_memory(client)) == ("", [True])


def test_what_the_follower_loaded_meanwhile_answers(
    resting: RegisteredModel,
    candidate: ModelVersion,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    """The desired one fails for a request, and loads for the follower before the previous one is brought back."""
    promote(candidate, by=None, force=True, reason="test")
    load_desired = serving._load_desired

    def fail_once(model: RegisteredModel) -> serving.ServingVersion:
        monkeypatch.setattr(serving, "_load_desired", load_desired)
        serving.refresh()
        raise MemoryError

    monkeypatch.setattr(serving, "_load_desired", fail_once)

    assert serving.serving_version(resting.pk).row == candidate
    assert serving._loaded[resting.pk].row == candidate


def test_version_on_trial_needs_no_served_one(resting: RegisteredModel):
    served = resting.desired_version()

    assert serving.held(served) is None
    deadline = time.monotonic() + 20
    while (version := standby.loaded(served)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert version is not None
    assert resting.pk in idle.resting
