"""Every refusal is an RFC 9457 document."""

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.test import Client
from django.urls import include, path
from rest_framework.views import APIView

from recognizer.registry.models import RegisteredModel
from tests.recognition import post

pytestmark = pytest.mark.django_db


class Broken(APIView):
    def get(self, request):
        raise RuntimeError("secret: the password is swordfish")


def raises(error):
    def view(request):
        raise error

    return view


# The real routes, and some that break.
urlpatterns = [
    path("api/broken/", Broken.as_view()),
    path("api/denied/", raises(PermissionDenied())),
    path("api/missing/", raises(Http404("a secret"))),
    path("api/suspicious/", raises(SuspiciousOperation("a secret"))),
    path("broken/", raises(RuntimeError("a secret"))),
    path("", include("recognizer.urls")),
]
handler400 = "recognizer.problems.bad_request"
handler403 = "recognizer.problems.permission_denied"
handler404 = "recognizer.problems.not_found"
handler500 = "recognizer.problems.server_error"


def assert_problem(reply, status: int) -> None:
    assert reply.status_code == status
    assert reply["Content-Type"] == "application/problem+json"
    body = reply.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == status
    assert body["type"].startswith("urn:recognizer:problem:")
    assert len(body["detail"]) > 10
    assert "secret" not in reply.content.decode()


@pytest.mark.parametrize("route", ["/api/nothing/", "/api/predictions/x/", "/api/models/unicorn/", "/api/models/%00/"])
def test_unknown_route_is_404(client: Client, route: str):
    assert_problem(client.get(route), 404)


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_wrong_method_is_405(client: Client, fruit: RegisteredModel, method: str):
    reply = getattr(client, method)("/api/predict/")

    assert_problem(reply, 405)
    assert "POST" in reply["Allow"]


@pytest.mark.urls("tests.api.test_problems")
@pytest.mark.parametrize(("route", "status"), [("broken", 500), ("denied", 403), ("missing", 404), ("suspicious", 400)])
def test_exception_in_a_view_tells_nothing(client: Client, route: str, status: int):
    client.raise_request_exception = False

    assert_problem(client.get(f"/api/{route}/"), status)


@pytest.mark.urls("tests.api.test_problems")
def test_people_get_a_page_for_500(client: Client):
    client.raise_request_exception = False
    reply = client.get("/broken/", headers={"Accept": "text/html"})

    assert reply.status_code == 500
    assert "<html" in reply.content.decode()
    assert "secret" not in reply.content.decode()


def test_unknown_host_is_400(client: Client):
    assert_problem(client.get("/api/models/", headers={"Host": "evil.example"}), 400)


@pytest.mark.parametrize(
    "accept", ["application/json; version=1", "application/json", "*/*", "application/problem+json, */*"]
)
def test_known_api_version_is_served(client: Client, fruit: RegisteredModel, accept: str):
    assert client.get("/api/models/", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("accept", ["application/json; version=2", "application/json; version=x", "text/html"])
def test_unknown_api_version_is_406(client: Client, fruit: RegisteredModel, accept: str):
    assert_problem(client.get("/api/models/", headers={"Accept": accept}), 406)


def test_field_errors_name_their_field(client: Client, fruit: RegisteredModel):
    reply = post(client, top_k=99, train="perhaps")

    assert_problem(reply, 400)
    assert {error["field"] for error in reply.json()["errors"]} == {"top_k", "train"}


def test_csrf_failure_of_a_page_is_a_page(fruit: RegisteredModel):
    reply = Client(enforce_csrf_checks=True).post("/accounts/login/", headers={"Accept": "text/html"})

    assert reply.status_code == 403
    assert "<html" in reply.content.decode()


def test_too_large_form_of_a_page_is_a_page(client: Client, settings):
    settings.RECOGNIZER_MAX_FORM_BYTES = 10
    reply = client.post("/", {"x": "y" * 100}, headers={"Accept": "text/html"})

    assert reply.status_code == 413
    assert "<html" in reply.content.decode()
