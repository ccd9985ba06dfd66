"""Pictures are drawn only of what a worker has decoded, and never by all threads at once."""

import threading
from typing import Any

import pytest
from django.test import Client

from recognizer.predictions import renditions
from recognizer.predictions.models import Prediction
from recognizer.registry.models import RegisteredModel
from tests.recognition import answered, post, undecodable

pytestmark = pytest.mark.django_db


@pytest.fixture
def mine(client: Client, fruit: RegisteredModel) -> dict[str, Any]:
    """An answered prediction of this client's visitor."""
    return answered(client)


@pytest.mark.parametrize("code", ["worker_died", "undecodable", "model_failed"])
@pytest.mark.parametrize("kind", ["image", "thumbnail"])
def test_no_picture_is_drawn_of_a_failure(client: Client, fruit_rows: RegisteredModel, media, code: str, kind: str):
    sent = post(client).json()
    Prediction.objects.update(status=Prediction.Status.FAILED, error_code=code, error_detail="It failed.")

    reply = client.get(f"{sent['url']}{kind}/")

    assert reply.status_code == 404
    assert "no picture" in reply.json()["detail"]
    assert not (media / "renditions").exists()
    assert "thumbnail" not in client.get("/history/").content.decode()
    assert f"{sent['url']}image/" not in client.get(f"/predictions/{sent['id']}/").content.decode()


def test_picture_of_a_waiting_one_comes_later(client: Client, fruit_rows: RegisteredModel):
    sent = post(client).json()

    reply = client.get(sent["image"]["url"])

    assert reply.status_code == 409
    assert int(reply["Retry-After"]) > 0


def test_undecodable_gets_no_picture(client: Client, fruit: RegisteredModel):
    assert client.get(answered(client, undecodable())["image"]["url"]).status_code == 404


def test_crowd_is_sent_away_for_a_moment(mine: dict[str, Any], client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(renditions, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(renditions, "_decoding", threading.BoundedSemaphore(1))

    with renditions._decoding:
        refused = client.get(mine["image"]["url"])

    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:recognizer:problem:too-many-pictures"
    assert int(refused["Retry-After"]) > 0
    assert client.get(mine["image"]["url"]).status_code == 200


def test_few_threads_wait_for_pictures(mine: dict[str, Any], client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(renditions, "_waiting", threading.BoundedSemaphore(1))

    with renditions._waiting:
        assert client.get(mine["image"]["url"]).status_code == 503

    assert client.get(mine["image"]["url"]).status_code == 200


def test_short_memory_is_not_the_pictures_fault(mine: dict[str, Any], client: Client, monkeypatch: pytest.MonkeyPatch):
    def exhausted(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(renditions, "_render", exhausted)

    assert client.get(mine["image"]["url"]).status_code == 503


def test_drawn_picture_needs_no_turn(mine: dict[str, Any], client: Client, monkeypatch: pytest.MonkeyPatch):
    client.get(mine["image"]["url"])
    monkeypatch.setattr(renditions, "_waiting", threading.BoundedSemaphore(1))

    with renditions._waiting:
        assert client.get(mine["image"]["url"]).status_code == 200


def test_page_asks_again_for_a_missing_picture(mine: dict[str, Any], client: Client):
    assert "recognizer/pictures.js" in client.get("/history/").content.decode()
