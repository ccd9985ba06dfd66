"""Signing up, in and out; passwords; locked accounts."""

import re

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from pytest_django import Settings

from recognizer.registry.models import RegisteredModel
from tests.pages.forms import send, words
from tests.recognition import picture

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def anna(django_user_model: type[User]) -> User:
    return django_user_model.objects.create_user("anna", "anna@example.org", PASSWORD)


def sign_in(client: Client, password: str = PASSWORD, **fields: str):
    return client.post("/accounts/login/", {"username": "anna", "password": password, **fields})


def sign_up(client: Client, **fields: str):
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    return client.post("/accounts/sign-up/", {"username": "bert", **passwords, **fields})


def test_signing_in_leads_to_the_start(client: Client, anna: User):
    assert sign_in(client).url == "/"
    assert "anna" in words(client.get("/"))


def test_signing_in_leads_back_but_never_elsewhere(anna: User):
    assert sign_in(Client(), next="/history/").url == "/history/"
    assert sign_in(Client(), next="https://example.org/").url == "/"


def test_wrong_password_is_said(client: Client, anna: User):
    reply = sign_in(client, "wrong")

    assert reply.status_code == 200
    assert "correct username and password" in words(reply)


def test_too_many_attempts_lock_with_words(client: Client, anna: User, settings: Settings):
    settings.AXES_FAILURE_LIMIT = 2
    sign_in(client, "wrong")

    locked = sign_in(client, "wrong")
    right = sign_in(client)

    assert locked.status_code == right.status_code == 429
    assert "Too many attempts" in words(right)


def test_signing_out_takes_a_post(client: Client, anna: User):
    sign_in(client)

    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").url == "/"
    assert "Sign in" in words(client.get("/"))


def test_signing_up_is_off_by_default(client: Client):
    assert client.get("/accounts/sign-up/").status_code == 404
    assert sign_up(client).status_code == 404
    assert "/accounts/sign-up/" not in words(client.get("/accounts/login/"))
    assert not User.objects.exists()


def test_signing_up_signs_in(client: Client, settings: Settings):
    settings.RECOGNIZER_SIGN_UP = True

    assert "/accounts/sign-up/" in words(client.get("/accounts/login/"))
    assert sign_up(client).url == "/"
    assert "bert" in words(client.get("/"))
    assert not User.objects.get().is_staff


@pytest.mark.parametrize("fields", [{"username": "anna"}, {"password1": "123", "password2": "123"}, {"password2": "x"}])
def test_refused_sign_up_is_said_at_the_field(client: Client, anna: User, settings: Settings, fields: dict[str, str]):
    settings.RECOGNIZER_SIGN_UP = True

    reply = sign_up(client, **fields)

    assert "errorlist" in words(reply)
    assert User.objects.count() == 1


def test_sign_up_cannot_make_staff(client: Client, settings: Settings):
    settings.RECOGNIZER_SIGN_UP = True

    sign_up(client, is_staff="on", is_superuser="on")

    assert not User.objects.filter(is_staff=True).exists()


def test_password_can_be_changed(client: Client, anna: User):
    sign_in(client)
    new = {"old_password": PASSWORD, "new_password1": "another fine sentence", "new_password2": "another fine sentence"}

    reply = client.post("/accounts/password/", new, follow=True)

    assert "Password changed" in words(reply)
    assert sign_in(Client(), "another fine sentence").status_code == 302


def test_changing_a_password_takes_a_sign_in(client: Client):
    assert client.get("/accounts/password/").url.startswith("/accounts/login/")


def test_forgotten_password_is_set_by_the_mailed_link(client: Client, anna: User):
    client.post("/accounts/password/reset/", {"email": "anna@example.org"})
    link = re.search(r"http://testserver(\S+)", mail.outbox[0].body)[1]

    form = client.get(link, follow=True)
    new = {"new_password1": "another fine sentence", "new_password2": "another fine sentence"}
    reply = client.post(form.request["PATH_INFO"], new, follow=True)

    assert "anna" in mail.outbox[0].body
    assert "Password set" in words(reply)
    assert sign_in(Client(), "another fine sentence").status_code == 302
    assert "used already, or is too old" in words(client.get(link, follow=True))


def test_unknown_address_gets_the_same_reply(client: Client, anna: User):
    known = client.post("/accounts/password/reset/", {"email": "anna@example.org"}, follow=True)
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.org"}, follow=True)

    assert words(known) == words(unknown)
    assert len(mail.outbox) == 1


def test_service_without_mail_says_whom_to_ask(client: Client, settings: Settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

    assert "Ask the administrator" in words(client.get("/accounts/password/reset/"))


def test_visitors_uploads_are_not_the_next_users(client: Client, anna: User, fruit: RegisteredModel):
    address = send(client, picture()).url
    sign_in(client)

    assert client.get(address).status_code == 404
