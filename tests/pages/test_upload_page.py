"""The front page as a plain form."""

import logging.config
import re

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from recognizer.predictions.models import Prediction, UploadedImage
from recognizer.registry.models import RegisteredModel
from tests.pages.forms import send, words
from tests.recognition import blob_files, picture
from tests.registry_rows import registered_version

pytestmark = pytest.mark.django_db


def test_one_photo_leads_to_its_page(client: Client, fruit: RegisteredModel):
    reply = send(client, picture())

    assert reply.status_code == 302
    assert reply.url == f"/predictions/{Prediction.objects.get().pk}/"
    assert not Session.objects.exists()


def test_many_photos_lead_to_the_history(client: Client, fruit: RegisteredModel):
    reply = send(client, picture(1), picture(2), picture(3))

    assert reply.url == "/history/"
    assert words(client.get("/history/")).count('class="tile"') == 3


def test_sent_without_a_cookie_it_is_still_mine(client: Client, fruit: RegisteredModel):
    from django.core.files.uploadedfile import SimpleUploadedFile

    reply = client.post("/", {"images": SimpleUploadedFile("a.jpg", picture()), "model": "fruit"})

    assert client.get(reply.url).status_code == 200


def page_number(client: Client) -> str:
    [number] = re.findall(r'name="page" value="([0-9a-f-]+)"', words(client.get("/")))
    return number


def test_second_click_is_the_same_recognition(client: Client, fruit: RegisteredModel):
    page = page_number(client)

    first, second = (send(client, picture(), page=page) for _ in range(2))

    assert first.url == second.url
    assert Prediction.objects.count() == 1


def test_another_photo_or_another_visit_is_another_recognition(client: Client, fruit: RegisteredModel):
    page = page_number(client)
    send(client, picture(1), page=page)
    send(client, picture(2), page=page)
    send(client, picture(2), page=page, train="on")
    send(client, picture(1), page=page_number(client))

    assert Prediction.objects.count() == 4


def test_signed_in_upload_belongs_to_the_user(client: Client, fruit: RegisteredModel, django_user_model: type[User]):
    anna = django_user_model.objects.create_user("anna")
    client.force_login(anna)

    send(client, picture())

    image = UploadedImage.objects.get()
    assert (image.user, image.visitor, image.file_name) == (anna, None, "0.jpg")


@pytest.mark.parametrize(("fields", "allowed"), [({"train": "on"}, True), ({}, False)])
def test_training_is_allowed_by_the_box_only(client: Client, fruit: RegisteredModel, fields, allowed: bool):
    send(client, picture(), **fields)

    assert UploadedImage.objects.get().train_allowed is allowed


@pytest.mark.parametrize("default", [True, False])
def test_box_starts_as_the_setting_says(client: Client, fruit: RegisteredModel, settings: Settings, default: bool):
    settings.RECOGNIZER_TRAIN_DEFAULT = default

    box = words(client.get("/")).split('name="train"')[1].split(">")[0]

    assert ("checked" in box) is default


def test_picker_offers_only_models_that_answer(client: Client, fruit: RegisteredModel):
    registered_version("unpromoted")

    page = words(client.get("/"))

    assert "Eight fruits." in page
    assert "unpromoted" not in page


def test_page_without_any_model_says_so(client: Client, db: None):
    assert "No model is ready yet" in words(client.get("/"))


@pytest.mark.parametrize(
    ("raw", "status", "said"),
    [
        (b"not an image", 415, "0.jpg: This is not an image we can read."),
        (b"", 400, "0.jpg: "),
        (b"\xff\xd8\xff\xe0" + bytes(200), 422, "0.jpg: "),
    ],
)
def test_refused_photo_is_named_with_the_reason(
    client: Client, fruit: RegisteredModel, media, raw, status: int, said: str
):
    reply = send(client, raw)

    assert reply.status_code == status
    assert said in words(reply)
    assert not Prediction.objects.exists()
    assert not blob_files(media)


def test_too_large_photo_is_refused(client: Client, fruit: RegisteredModel, settings: Settings):
    settings.RECOGNIZER_MAX_UPLOAD_BYTES = 500

    assert send(client, picture()).status_code == 413


def test_form_may_be_larger_than_one_photo(client: Client, fruit_rows: RegisteredModel):
    photos = [picture(seed) + bytes(9_000_000) for seed in range(4)]  # phones make them; 36 MB in all

    assert send(client, *photos).status_code == 302
    assert Prediction.objects.count() == 4


def test_form_that_is_too_large_is_told_the_limit(client: Client, fruit_rows: RegisteredModel, settings: Settings):
    settings.RECOGNIZER_MAX_FORM_BYTES = 4_000

    page = send(client, *[picture(seed) for seed in range(8)])

    assert page.status_code == 413
    assert "too large together" in words(page)


def test_too_many_files_are_told_the_number(client: Client, fruit_rows: RegisteredModel):
    reply = send(client, *[b"x"] * 51)
    page = words(client.get(reply.url))

    assert (reply.status_code, reply.url) == (302, "/")
    assert "Send at most 50 at a time" in page
    assert 'name="images"' in page


def test_page_without_scripts_says_how_much_it_takes(client: Client, fruit_rows: RegisteredModel):
    assert "at most 50 files and 100 MB at a time" in words(client.get("/"))


def test_page_declares_the_language_of_its_text(client: Client, fruit_rows: RegisteredModel):
    page = client.get("/", headers={"Accept-Language": "zh-CN"}).content.decode()

    assert '<html lang="en">' in page
    assert "What is in the picture?" in page


def test_good_photos_beside_a_bad_one_are_kept(client: Client, fruit: RegisteredModel):
    reply = send(client, picture(1), b"text", picture(2))

    assert reply.status_code == 415
    assert "1.jpg: This is not an image" in words(reply)
    assert "2 other photos were taken" in words(reply)
    assert Prediction.objects.count() == 2


def test_no_photo_is_said_at_the_field(client: Client, fruit: RegisteredModel):
    reply = send(client)

    assert reply.status_code == 400
    assert "Choose at least one photo first." in words(reply)


@pytest.mark.parametrize("model", ["", "nothing", "unpromoted"])
def test_unknown_model_stores_nothing(client: Client, fruit: RegisteredModel, model: str):
    registered_version("unpromoted")

    assert send(client, picture(), model=model).status_code == 400
    assert not Prediction.objects.exists()


def test_full_queue_is_said_in_words(client: Client, fruit: RegisteredModel, settings: Settings):
    settings.RECOGNIZER_MAX_PENDING = 1
    send(client, picture(1))

    reply = send(client, picture(2))

    assert reply.status_code == 503
    assert int(reply["Retry-After"]) > 0
    assert "more images waiting than it takes" in words(reply)


def test_form_without_a_token_is_refused_as_a_page(fruit: RegisteredModel):
    strict = Client(enforce_csrf_checks=True)

    reply = strict.post("/", {"model": "fruit"}, headers={"Accept": "text/html"})

    assert reply.status_code == 403
    assert "Reload the page" in words(reply)


def test_file_name_is_text_not_markup(client: Client, fruit: RegisteredModel):
    from django.core.files.uploadedfile import SimpleUploadedFile

    reply = client.post("/", {"images": SimpleUploadedFile("<b>x</b>.jpg", b"text"), "model": "fruit"})

    assert "<b>x" not in words(reply)


@pytest.mark.parametrize("address", ["/", "/history/", "/accounts/login/", "/nowhere/"])
def test_page_allows_no_inline_code(client: Client, fruit: RegisteredModel, address: str):
    reply = client.get(address, headers={"Accept": "text/html"})

    assert "default-src 'self'" in reply["Content-Security-Policy"]
    assert "unsafe" not in reply["Content-Security-Policy"]
    assert " style=" not in words(reply)
    assert "<script>" not in words(reply)


@pytest.mark.parametrize("fault", ["host", "files"])
def test_fault_of_a_client_is_one_warning_in_the_log(
    client: Client, fruit_rows: RegisteredModel, capsys: pytest.CaptureFixture[str], settings: Settings, fault: str
):
    logging.config.dictConfig(settings.LOGGING)  # its handler writes to what capsys looks at

    if fault == "host":
        client.get("/", headers={"Host": "evil.example"})
    else:
        send(client, *[b"x"] * 51)

    [line] = capsys.readouterr().err.splitlines()
    assert "warning" in line
    assert "Traceback" not in line
