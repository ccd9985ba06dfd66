"""One prediction: read, judge, retry, erase; and pictures of it."""

import io
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from PIL import Image

from recognizer.predictions import review
from recognizer.predictions.models import Blob, Erasure, Feedback, Prediction, Review, UploadedImage
from recognizer.registry.models import Label, RegisteredModel
from tests.recognition import answered, blob_files, picture, post, undecodable

pytestmark = pytest.mark.django_db
ACTIONS = [
    ("get", ""),
    ("delete", ""),
    ("post", "feedback/"),
    ("post", "retry/"),
    ("get", "image/"),
    ("get", "thumbnail/"),
]


def call(client: Client, method: str, url: str, **options: Any) -> Any:
    body = {"data": {"correct": True}, "content_type": "application/json"} if url.endswith("feedback/") else {}
    return getattr(client, method)(url, **body, **options)


@pytest.fixture
def mine(client: Client, fruit: RegisteredModel) -> dict[str, Any]:
    """An answered prediction of this client's visitor."""
    return answered(client)


@pytest.mark.parametrize(("method", "action"), ACTIONS)
def test_not_yours_looks_like_missing(mine: dict[str, Any], method: str, action: str):
    stranger = Client()

    theirs = call(stranger, method, mine["url"] + action)
    missing = call(stranger, method, f"/api/predictions/{uuid.uuid4()}/{action}")

    assert theirs.status_code == missing.status_code == 404
    assert theirs.json() == missing.json()
    assert theirs["Content-Type"] == "application/problem+json"
    assert {*theirs.headers} == {*missing.headers}


@pytest.mark.parametrize(("method", "action"), ACTIONS)
def test_another_user_sees_nothing(mine: dict[str, Any], django_user_model: type[User], method: str, action: str):
    stranger = Client()
    stranger.force_login(django_user_model.objects.create_user("bert"))

    assert call(stranger, method, mine["url"] + action).status_code == 404


@pytest.mark.parametrize(("method", "action"), ACTIONS)
def test_malformed_id_is_missing(client: Client, db: None, method: str, action: str):
    reply = call(client, method, f"/api/predictions/7/{action}")

    assert reply.status_code == 404
    assert reply["Content-Type"] == "application/problem+json"


def test_reviewer_sees_all(mine: dict[str, Any], admin_client: Client):
    assert admin_client.get(mine["url"]).json()["id"] == mine["id"]


def test_staff_without_the_right_sees_own_only(mine: dict[str, Any], client: Client, django_user_model: type[User]):
    stranger = Client()
    stranger.force_login(django_user_model.objects.create_user("bert", is_staff=True))

    assert stranger.get(mine["url"]).status_code == 404


def test_newest_review_is_shown(mine: dict[str, Any], client: Client, admin_user: User):
    row, pear = Prediction.objects.get(), Label.objects.get(key="pear")
    review.record(row, verdict=Review.Verdict.CONFIRMED, reviewer=admin_user)
    review.record(row, verdict=Review.Verdict.CORRECTED, reviewer=admin_user, label=pear)

    shown = client.get(mine["url"]).json()["review"]

    assert shown["verdict"] == "corrected"
    assert (shown["label"], shown["name"]) == ("pear", "Pear")


@pytest.mark.parametrize("language", ["zh", "zh-CN", "zh-hans", "zh-TW,en;q=0.5"])
def test_names_follow_the_language(mine: dict[str, Any], client: Client, language: str):
    shown = client.get(mine["url"], headers={"Accept-Language": language}).json()

    assert shown["top"]["label"] == mine["top"]["label"]
    assert shown["top"]["name"] == Label.objects.get(key=mine["top"]["label"]).names["zh"]
    assert client.get(mine["url"], headers={"Accept-Language": "fr"}).json() == mine


# Feedback


def test_feedback_is_a_claim(mine: dict[str, Any], client: Client):
    reply = client.post(mine["url"] + "feedback/", {"label": "香蕉"}, content_type="application/json")

    claim = Feedback.objects.get()
    assert (reply.status_code, reply.json()) == (201, {"label": "banana"})
    assert (claim.is_correct, claim.claimed_label, claim.label.key) == (False, "香蕉", "banana")
    assert not Review.objects.exists()
    assert client.get(mine["url"]).json()["top"] == mine["top"]


def test_feedback_twice_is_two_claims(mine: dict[str, Any], client: Client):
    for _ in range(2):
        assert call(client, "post", mine["url"] + "feedback/").status_code == 201
    assert Feedback.objects.count() == 2


def test_unknown_word_is_kept_as_said(mine: dict[str, Any], client: Client):
    client.post(mine["url"] + "feedback/", {"label": "a rare durian"}, content_type="application/json")

    assert Feedback.objects.get().claimed_label == "a rare durian"
    assert Feedback.objects.get().label is None


BAD_FEEDBACK = [
    {},
    {"correct": False},
    {"correct": True, "label": "x"},
    {"label": ""},
    {"label": "x" * 101},
    {"correct": "?"},
    [],
    "{",
    "[" * 100_000,
]


@pytest.mark.parametrize("body", BAD_FEEDBACK)
def test_bad_feedback_is_400(mine: dict[str, Any], client: Client, body: Any):
    reply = client.post(mine["url"] + "feedback/", body, content_type="application/json")

    assert reply.status_code == 400
    assert reply["Content-Type"] == "application/problem+json"
    assert not Feedback.objects.exists()


def test_feedback_on_a_pending_one_is_409(client: Client, fruit: RegisteredModel):
    reply = call(client, "post", post(client).json()["url"] + "feedback/")

    assert reply.status_code == 409
    assert not Feedback.objects.exists()


# Retry


def test_failed_one_is_queued_again(client: Client, fruit: RegisteredModel):
    failed = answered(client, undecodable())
    assert failed["status"] == "failed"

    reply = client.post(failed["url"] + "retry/")

    assert reply.status_code == 202
    assert reply.json()["status"] == "pending"
    assert reply.json()["error"] is None
    assert reply["Location"] == failed["url"]
    assert client.post(failed["url"] + "retry/").status_code == 409


def test_success_is_not_retried(mine: dict[str, Any], client: Client):
    reply = client.post(mine["url"] + "retry/")

    assert reply.status_code == 409
    assert reply["Content-Type"] == "application/problem+json"
    assert client.get(mine["url"]).json() == mine


# Erasure


def test_erased_one_is_a_tombstone(mine: dict[str, Any], client: Client, media):
    call(client, "post", mine["url"] + "feedback/")
    client.get(mine["url"] + "thumbnail/")

    assert client.delete(mine["url"]).status_code == 204

    row = Prediction.objects.get()
    assert row.status == "erased"
    assert (row.image, row.user, row.visitor, row.scores, row.label, row.score) == (None, None, None, [], "", None)
    assert not UploadedImage.objects.exists()
    assert not Blob.objects.exists()
    assert not Feedback.objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]
    assert Erasure.objects.get().prediction_id == row.pk


@pytest.mark.parametrize(("method", "action"), ACTIONS)
def test_erased_one_is_gone_for_its_owner(mine: dict[str, Any], client: Client, method: str, action: str):
    client.delete(mine["url"])

    assert call(client, method, mine["url"] + action).status_code == 404


def test_token_and_reviewer_see_the_tombstone(client: Client, fruit: RegisteredModel, admin_client: Client):
    sent = post(client).json()
    bearer = {"Authorization": f"Bearer {sent['access']}"}
    assert Client().delete(sent["url"], headers=bearer).status_code == 204

    for reader, headers in ((Client(), bearer), (admin_client, None)):
        shown = reader.get(sent["url"], headers=headers).json()
        assert (shown["status"], shown["image"], shown["top"]) == ("erased", None, None)
        assert call(reader, "post", sent["url"] + "feedback/", headers=headers).status_code == 409
        assert call(reader, "post", sent["url"] + "retry/", headers=headers).status_code == 409
        assert call(reader, "get", sent["url"] + "image/", headers=headers).status_code == 404
        assert reader.delete(sent["url"], headers=headers).status_code == 204
    assert Erasure.objects.count() == 1


def test_running_one_is_not_erased(client: Client, fruit: RegisteredModel):
    sent = post(client).json()
    Prediction.objects.update(status="running")

    reply = client.delete(sent["url"])

    assert reply.status_code == 409
    assert reply["Content-Type"] == "application/problem+json"
    assert UploadedImage.objects.exists()


def test_bytes_stay_while_another_owns_them(mine: dict[str, Any], client: Client, media):
    other = Client()
    theirs = answered(other)

    client.delete(mine["url"])
    assert len(blob_files(media)) == 1
    assert other.get(theirs["image"]["url"]).status_code == 200

    other.delete(theirs["url"])
    assert blob_files(media) == []


def test_review_of_an_erased_one_keeps_no_label(mine: dict[str, Any], client: Client, admin_user: User):
    review.record(Prediction.objects.get(), verdict=Review.Verdict.CONFIRMED, reviewer=admin_user)

    client.delete(mine["url"])

    assert (Review.objects.get().label, Review.objects.get().previous_label) == (None, "")


# Pictures


def photo_with_a_place() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "my garden"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (11.0, 30.0, 0.0)})
    return picture(size=(800, 600), exif=exif, comment=b"secret comment") + b"<?php secret payload ?>"


@pytest.mark.parametrize(("kind", "longer_side"), [("image", 800), ("thumbnail", 320)])
def test_pictures_carry_no_metadata(client: Client, fruit: RegisteredModel, kind: str, longer_side: int):
    raw = photo_with_a_place()
    assert b"garden" in raw
    sent = answered(client, raw)

    reply = client.get(f"{sent['url']}{kind}/")

    shown = Image.open(io.BytesIO(reply.content))
    assert reply.status_code == 200
    assert max(shown.size) == longer_side
    assert not dict(shown.getexif())
    assert "comment" not in shown.info
    assert not [word for word in (b"garden", b"secret", b"Exif", b"php") if word in reply.content]
    assert reply["Content-Type"] == "image/jpeg"
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert "private" in reply["Cache-Control"]


def test_original_stays_as_it_was(client: Client, fruit: RegisteredModel, media):
    post(client, photo_with_a_place())

    assert blob_files(media)[0].read_bytes() == photo_with_a_place()


def test_picture_stands_upright(client: Client, fruit: RegisteredModel):
    exif = Image.Exif()
    exif[0x0112] = 6
    sent = answered(client, picture(size=(80, 60), exif=exif))

    assert (sent["image"]["width"], sent["image"]["height"]) == (60, 80)
    assert Image.open(io.BytesIO(client.get(sent["image"]["url"]).content)).size == (60, 80)


@pytest.mark.parametrize("accept", ["image/*", "image/jpeg", "*/*", "text/html,image/webp,*/*;q=0.8"])
def test_program_may_ask_for_an_image(mine: dict[str, Any], client: Client, accept: str):
    assert client.get(mine["image"]["url"], headers={"Accept": accept}).status_code == 200


def test_lost_file_is_404(mine: dict[str, Any], client: Client, media):
    blob_files(media)[0].unlink()

    assert client.get(mine["image"]["url"]).status_code == 404
