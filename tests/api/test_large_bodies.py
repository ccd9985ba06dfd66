"""Large bodies are few at a time, whatever they are."""

import base64
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from recognizer import middleware
from recognizer.middleware import MAX_LARGE_BODIES, BodyLimitMiddleware
from recognizer.registry.models import RegisteredModel
from tests.recognition import picture

pytestmark = pytest.mark.django_db


class Inside:
    """A view in which further requests arrive while the first is in hand."""

    def __init__(self, make: Any, depth: int) -> None:
        self.statuses: list[int] = []
        self._make, self._depth = make, depth
        self._middleware = BodyLimitMiddleware(self._view)

    def _view(self, request: HttpRequest) -> HttpResponse:
        if self._depth > 0:
            self._depth -= 1
            self.send()
        return HttpResponse()

    def send(self) -> HttpResponse:
        response = self._middleware(self._make())
        self.statuses.append(response.status_code)
        return response


@pytest.fixture
def small_limits(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LARGE_TEXT_BYTES", 1000)
    settings.RECOGNIZER_MAX_BODY_BYTES = 2000
    settings.RECOGNIZER_MAX_FORM_BYTES = 8000


def body(kind: str, num_bytes: int, path: str = "/api/predict/") -> HttpRequest:
    return RequestFactory().post(path, b"x" * num_bytes, content_type=kind)


def test_fifth_large_json_is_asked_to_come_back(small_limits: None):
    inside = Inside(lambda: body("application/json", 1500), MAX_LARGE_BODIES)

    inside.send()

    assert sorted(inside.statuses) == [200] * MAX_LARGE_BODIES + [503]
    assert inside.send().status_code == 200  # the places are free again


@pytest.mark.parametrize(
    ("kind", "num_bytes"), [("application/json", 900), ("image/jpeg", 1900), ("multipart/form-data; boundary=a", 1900)]
)
def test_other_bodies_are_not_counted(small_limits: None, kind: str, num_bytes: int):
    inside = Inside(lambda: body(kind, num_bytes), 10)

    inside.send()

    assert inside.statuses == [200] * 11


def test_large_forms_are_few_at_a_time(small_limits: None):
    inside = Inside(lambda: body("multipart/form-data; boundary=a", 5000, "/"), MAX_LARGE_BODIES)

    inside.send()

    assert sorted(inside.statuses) == [200] * MAX_LARGE_BODIES + [503]


def test_refusal_says_when_to_come_back(small_limits: None, monkeypatch: pytest.MonkeyPatch):
    refused = Inside(lambda: body("application/json", 1500), MAX_LARGE_BODIES)
    refused._middleware._places = middleware.threading.BoundedSemaphore(1)
    refused._middleware._places.acquire()

    response = refused.send()

    assert int(response["Retry-After"]) > 0
    assert response["Content-Type"] == "application/problem+json"


def test_large_json_is_answered(client: Client, fruit_rows: RegisteredModel):
    text = base64.b64encode(picture() + bytes(5_000_000)).decode()

    assert client.post("/api/predict/", {"image": text}, content_type="application/json").status_code == 202
