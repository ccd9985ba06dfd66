"""Who an upload belongs to: users, visitors with a signed cookie, holders of an access token."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from recognizer.predictions.models import Prediction
from recognizer.predictions.ownership import COOKIE, COOKIE_SALT
from recognizer.registry.models import RegisteredModel
from tests.recognition import picture, post, undecodable, work

pytestmark = pytest.mark.django_db


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_visitor_owns_by_cookie_without_a_session(client: Client, fruit: RegisteredModel):
    reply = post(client)

    cookie = reply.cookies[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not Session.objects.exists()
    assert client.get(reply.json()["url"]).status_code == 200
    assert Client().get(reply.json()["url"]).status_code == 404


def test_visitor_keeps_one_cookie(client: Client, fruit: RegisteredModel):
    post(client, picture(1))

    assert COOKIE not in post(client, picture(2)).cookies
    assert Prediction.objects.values("visitor").distinct().count() == 1


@pytest.mark.parametrize("forge", ["{visitor}", "{visitor}:x", "x", ":", "{other}:{signature}"])
def test_forged_cookie_is_nobody(client: Client, fruit: RegisteredModel, forge: str):
    sent = post(client)
    value = client.cookies[COOKIE].value
    visitor, _, signature = value.partition(":")
    forger = Client()
    forger.cookies[COOKIE] = forge.format(visitor=visitor, signature=signature, other=uuid.uuid4().hex)

    assert forger.get(sent.json()["url"]).status_code == 404
    assert forger.get("/api/predictions/").json()["results"] == []
    assert post(forger).status_code == 202
    assert Prediction.objects.values("visitor").distinct().count() == 2


def test_cookie_signed_for_something_else_is_nobody(client: Client, fruit: RegisteredModel):
    from django.core import signing

    sent = post(client)
    visitor = Prediction.objects.get().visitor.hex
    forger = Client()
    forger.cookies[COOKIE] = signing.get_cookie_signer(salt=COOKIE + "other").sign(visitor)
    assert forger.get(sent.json()["url"]).status_code == 404
    forger.cookies[COOKIE] = signing.get_cookie_signer(salt=COOKIE + COOKIE_SALT).sign(visitor)
    assert forger.get(sent.json()["url"]).status_code == 200


def test_user_owns_by_account(fruit: RegisteredModel, django_user_model: type[User]):
    anna, elsewhere = Client(), Client()
    user = django_user_model.objects.create_user("anna")
    anna.force_login(user)
    elsewhere.force_login(user)

    reply = post(anna)

    assert "access" not in reply.json()
    assert COOKIE not in reply.cookies
    assert elsewhere.get(reply.json()["url"]).status_code == 200


def test_token_opens_its_own_prediction_only(client: Client, fruit: RegisteredModel):
    first, second = post(client, picture(1)).json(), post(client, picture(2)).json()
    program = Client()

    assert program.get(first["url"], headers=bearer(first["access"])).status_code == 200
    assert program.get(second["url"], headers=bearer(first["access"])).status_code == 404
    listed = program.get("/api/predictions/", headers=bearer(first["access"])).json()["results"]
    assert [row["id"] for row in listed] == [first["id"]]


def test_token_does_all_an_owner_does(client: Client, fruit: RegisteredModel):
    sent = post(client, undecodable()).json()
    work()
    program, headers = Client(), bearer(sent["access"])

    assert program.post(sent["url"] + "retry/", headers=headers).status_code == 202
    assert program.get(sent["url"] + "thumbnail/", headers=headers).status_code == 409
    assert program.delete(sent["url"], headers=headers).status_code == 204


def test_token_narrows_even_a_reviewer(client: Client, fruit: RegisteredModel, admin_client: Client):
    first, second = post(client, picture(1)).json(), post(client, picture(2)).json()

    assert admin_client.get(second["url"], headers=bearer(first["access"])).status_code == 404


@pytest.mark.parametrize("forge", ["", "x", "{id}", "{id}:x", "{other}:{signature}", "{token}x", "\xff", "{token} x"])
def test_forged_token_is_401(client: Client, fruit: RegisteredModel, forge: str):
    sent = post(client).json()
    identity, _, signature = sent["access"].partition(":")
    token = forge.format(id=identity, signature=signature, token=sent["access"], other=uuid.uuid4().hex)

    reply = Client().get(sent["url"], headers=bearer(token))

    assert reply.status_code == 401
    assert reply["WWW-Authenticate"] == "Bearer"
    assert reply["Content-Type"] == "application/problem+json"


def test_token_is_no_visitor_cookie(client: Client, fruit: RegisteredModel):
    sent = post(client).json()
    forger = Client()
    forger.cookies[COOKIE] = sent["access"]

    assert forger.get(sent["url"]).status_code == 404


# Other sites

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://testserver.evil.example"},
    {"Origin": "https://testserver"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_request_of_another_site_is_refused(client: Client, fruit: RegisteredModel, headers: dict[str, str]):
    sent = post(client).json()

    replies = [
        post(client, headers=headers),
        client.delete(sent["url"], headers=headers),
        client.post(sent["url"] + "retry/", headers=headers),
        client.post(sent["url"] + "feedback/", {"correct": True}, content_type="application/json", headers=headers),
    ]

    assert {reply.status_code for reply in replies} == {403}
    assert {reply["Content-Type"] for reply in replies} == {"application/problem+json"}
    assert Prediction.objects.count() == 1


@pytest.mark.parametrize("headers", FOREIGN)
def test_signed_in_user_is_protected_too(fruit: RegisteredModel, admin_client: Client, headers: dict[str, str]):
    assert post(admin_client, headers=headers).status_code == 403


OWN = [{"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]


@pytest.mark.parametrize("headers", OWN)
def test_own_page_and_programs_are_served(client: Client, fruit: RegisteredModel, headers: dict[str, str]):
    assert post(client, headers=headers).status_code == 202


def test_named_origin_is_trusted(client: Client, fruit: RegisteredModel, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://shop.example"]

    assert post(client, headers={"Origin": "https://shop.example"}).status_code == 202


def test_named_family_of_origins_is_trusted(client: Client, fruit_rows: RegisteredModel, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.com"]

    assert post(client, headers={"Origin": "https://photos.example.com"}).status_code == 202
    assert post(client, headers={"Origin": "https://example.org"}).status_code == 403


def test_reading_is_free_of_origin(client: Client, fruit: RegisteredModel):
    sent = post(client).json()

    assert client.get(sent["url"], headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_session_needs_the_csrf_token(fruit: RegisteredModel, admin_user: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin_user)

    reply = post(browser)

    assert reply.status_code == 403
    assert reply["Content-Type"] == "application/problem+json"
    assert "CSRF" in reply.json()["detail"]
    assert not Prediction.objects.exists()


def test_form_with_the_csrf_token_is_taken(fruit_rows: RegisteredModel, admin_user: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin_user)
    browser.cookies["csrftoken"] = "t" * 32

    assert post(browser, csrfmiddlewaretoken="t" * 32).status_code == 202
    assert post(browser, csrfmiddlewaretoken="f" * 32).status_code == 403


@pytest.mark.parametrize("name", ["image", "picture"])
def test_files_of_a_refused_form_are_closed(client: Client, fruit_rows: RegisteredModel, name: str):
    """Else the web process holds their bytes until a full garbage collection."""
    reply = client.post("/api/predict/", {name: [SimpleUploadedFile(f"{n}.jpg", picture(n)) for n in range(2)]})

    assert reply.status_code == 400
    files = reply.wsgi_request.FILES.getlist(name)
    assert [file.closed for file in files] == [True, True]
