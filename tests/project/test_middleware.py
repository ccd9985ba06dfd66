"""What every answer says in its header, and what the answer to an upload leaves out."""

import pytest
from django.conf import settings
from django.test import Client

from recognizer.registry.models import RegisteredModel
from tests.recognition import post

pytestmark = pytest.mark.django_db


def test_page_may_not_be_framed_and_names_what_it_loads(client: Client):
    page = client.get("/")

    assert page["X-Frame-Options"] == "DENY"
    assert "default-src" in page["Content-Security-Policy"]


def test_answer_to_an_upload_is_no_page(client: Client, fruit_rows: RegisteredModel):
    reply = post(client)

    assert "Content-Security-Policy" not in reply
    assert reply["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "cookie", "said"),
    [("", "", "en"), ("zh-CN,zh;q=0.9", "", "zh-hans"), ("en", "zh-hans", "zh-hans"), ("xx", "xx", "en")],
)
def test_language_is_the_cookies_or_else_the_browsers(client: Client, asked: str, cookie: str, said: str):
    if cookie:
        client.cookies[settings.LANGUAGE_COOKIE_NAME] = cookie

    page = client.get("/", headers={"Accept-Language": asked})

    assert page["Content-Language"] == said
    assert "Accept-Language" in page["Vary"]
