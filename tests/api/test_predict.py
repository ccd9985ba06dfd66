"""POST /api/predict/: three body forms, options, waiting."""

import base64
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from pytest_django import Settings

from classifier_core.classifier import load_classifier
from classifier_core.engines import EngineSpec
from recognizer.predictions.models import Blob, Prediction, UploadedImage
from recognizer.predictions.tasks import classify_pending
from recognizer.registry.models import RegisteredModel
from tests.recognition import answered, blob_files, both, picture, post, undecodable

pytestmark = pytest.mark.django_db


def test_upload_answers_202_before_a_worker(client: Client, fruit: RegisteredModel):
    response = post(client)

    body = response.json()
    assert response.status_code == 202
    assert body["status"] == "pending"
    assert response["Location"] == body["url"] == f"/api/predictions/{body['id']}/"
    assert response["Retry-After"]
    assert body["top"] is None
    assert body["scores"] == []


def test_answer_equals_an_offline_run(client: Client, fruit: RegisteredModel, tiny_folder, tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture(7))

    body = answered(client, picture(7))

    offline = load_classifier(tiny_folder, EngineSpec("openvino", "cpu", body["model"]["precision"]), num_threads=1)
    [(_, answer)] = offline.classify_files([tmp_path / "a.jpg"], top_k=5)
    assert [score["label"] for score in body["scores"]] == [score.label for score in answer.scores]
    assert [score["score"] for score in body["scores"]] == pytest.approx([s.score for s in answer.scores], abs=1e-4)
    assert body["known"] is answer.known


def test_answer_has_the_documented_shape(client: Client, fruit: RegisteredModel):
    body = answered(client)

    assert set(body) == {
        "id", "status", "url", "created_at", "finished_at", "image", "model", "top", "known", "scores", "timing_ms",
        "review", "error",
    }  # fmt: skip
    assert body["status"] == "succeeded"
    assert body["top"] == body["scores"][0]
    assert body["image"]["width"] == 80
    assert body["image"]["height"] == 60
    assert body["image"]["format"] == "JPEG"
    assert body["model"] | {"precision": ""} == {
        "name": "fruit", "version": 1, "architecture": "mobilenetv3_small_050", "engine": "openvino", "device": "cpu",
        "precision": "",
    }  # fmt: skip
    assert set(body["timing_ms"]) == {"queue", "decode", "inference", "total"}
    assert all(milliseconds >= 0 for milliseconds in body["timing_ms"].values())
    assert body["review"] is None
    assert body["error"] is None


def test_three_body_forms_are_one(client: Client, fruit: RegisteredModel):
    raw = picture(3)
    text = base64.b64encode(raw).decode()

    replies = [
        post(client, raw),
        client.post("/api/predict/", raw, content_type="image/jpeg"),
        client.post("/api/predict/", {"image": text}, content_type="application/json"),
        client.post("/api/predict/", {"image": f"data:image/jpeg;base64,{text}"}, content_type="application/json"),
    ]

    assert [reply.status_code for reply in replies] == [202] * 4
    assert len({reply.json()["image"]["sha256"] for reply in replies}) == 1
    assert Blob.objects.count() == 1
    assert UploadedImage.objects.count() == 4


def test_the_bytes_and_not_the_name_decide(client: Client, fruit: RegisteredModel):
    reply = client.post("/api/predict/", picture(kind="PNG"), content_type="image/jpeg")

    assert reply.json()["image"]["format"] == "PNG"


@pytest.mark.parametrize("form", ["form", "json", "query"])
def test_options_come_from_anywhere(client: Client, fruit: RegisteredModel, form: str):
    options: dict[str, Any] = {"model": "fruit", "top_k": 2, "train": "true"}
    if form == "form":
        post(client, **options)
    elif form == "json":
        body = {"image": base64.b64encode(picture()).decode(), **options}
        client.post("/api/predict/", body, content_type="application/json")
    else:
        client.post("/api/predict/?model=fruit&top_k=2&train=true", picture(), content_type="image/jpeg")

    row = Prediction.objects.get()
    assert row.top_k == 2
    assert row.image
    assert row.image.train_allowed
    classify_pending()
    assert len(client.get(f"/api/predictions/{row.pk}/").json()["scores"]) == 2


def test_training_is_off_unless_allowed(client: Client, fruit: RegisteredModel, settings: Settings):
    post(client)
    settings.RECOGNIZER_TRAIN_DEFAULT = True
    post(client)
    post(client, train="false")

    assert list(UploadedImage.objects.order_by("created_at").values_list("train_allowed", flat=True)) == [
        False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(("top_k", "status"), [("0", 400), ("1", 202), ("20", 202), ("21", 400), ("x", 400), ("", 400)])
def test_top_k_is_1_to_20(client: Client, fruit: RegisteredModel, top_k: str, status: int):
    reply = post(client, top_k=top_k)

    assert reply.status_code == status
    if status == 400:
        assert [error["field"] for error in reply.json()["errors"]] == ["top_k"]
        assert not Prediction.objects.exists()


def test_unknown_model_is_404(client: Client, fruit: RegisteredModel, media):
    reply = post(client, model="unicorn")

    assert reply.status_code == 404
    assert reply["Content-Type"] == "application/problem+json"
    assert reply.json()["type"] == "urn:recognizer:problem:unknown-model"
    assert "unicorn" in reply.json()["detail"]
    assert not blob_files(media)


def test_model_without_promotion_is_503(client: Client, fruit: RegisteredModel, media):
    RegisteredModel.objects.create(name="empty")

    reply = post(client, model="empty")

    assert reply.status_code == 503
    assert reply["Retry-After"]
    assert not Prediction.objects.exists()
    assert not blob_files(media)


def test_full_queue_is_503(client: Client, fruit: RegisteredModel, settings: Settings, media):
    settings.RECOGNIZER_MAX_PENDING = 2
    post(client, picture(1))
    post(client, picture(2))

    reply = post(client, picture(3))

    assert reply.status_code == 503
    assert reply["Retry-After"]
    assert reply.json()["type"] == "urn:recognizer:problem:overloaded"
    assert Prediction.objects.count() == len(blob_files(media)) == 2


REFUSED = [
    (b"", 400),
    (b"text", 415),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
    (picture(kind="TIFF"), 415),
    (picture(kind="PNG")[:20], 422),
]


@pytest.mark.parametrize(("raw", "status"), REFUSED, ids=["empty", "text", "svg", "tiff", "half a header"])
def test_refused_upload_stores_nothing(client: Client, fruit: RegisteredModel, media, raw: bytes, status: int):
    reply = post(client, raw)

    assert reply.status_code == status
    assert reply["Content-Type"] == "application/problem+json"
    assert len(reply.json()["detail"]) > 10 or reply.json()["errors"]
    assert not Prediction.objects.exists()
    assert not UploadedImage.objects.exists()
    assert not blob_files(media)


def test_raw_body_without_bytes_is_called_empty(client: Client, fruit: RegisteredModel):
    reply = client.generic("POST", "/api/predict/?model=fruit", b"", CONTENT_TYPE="image/jpeg")

    assert reply.status_code == 400
    assert reply.json()["type"].endswith("empty")


def test_too_many_pixels_is_413(client: Client, fruit: RegisteredModel, media):
    header = picture(kind="PNG")
    huge = header[:16] + (19_000).to_bytes(4) + (19_000).to_bytes(4) + header[24:]
    import zlib

    huge = huge[:29] + zlib.crc32(huge[12:29]).to_bytes(4) + huge[33:]

    reply = post(client, huge)

    assert reply.status_code == 413
    assert "361,000,000 pixels; at most 40,000,000" in reply.json()["detail"]
    assert not blob_files(media)


def test_too_many_bytes_is_413(client: Client, fruit: RegisteredModel, settings: Settings, media):
    settings.RECOGNIZER_MAX_UPLOAD_BYTES = 1_000

    reply = post(client, picture(size=(400, 400), quality=100))

    assert reply.status_code == 413
    assert reply.json()["type"] == "urn:recognizer:problem:too-many-bytes"
    assert not blob_files(media)


def test_body_is_refused_by_its_length(client: Client, fruit: RegisteredModel, settings: Settings):
    settings.RECOGNIZER_MAX_BODY_BYTES = 500

    reply = post(client, picture())

    assert reply.status_code == 413
    assert reply["Content-Type"] == "application/problem+json"


def test_allowed_size_is_also_decoded(client: Client, fruit: RegisteredModel, settings: Settings):
    settings.RECOGNIZER_MAX_UPLOAD_BYTES = 40_000_000
    padded = picture() + bytes(26_000_000)  # above the core's own default limit

    body = answered(client, padded)

    assert body["status"] == "succeeded"
    assert client.get(body["image"]["thumbnail_url"]).status_code == 200


FORM = "multipart/form-data; boundary=x"
PHOTO = b'form-data; name="image"; filename="a.jpg"'


def part(disposition: bytes, content: bytes) -> bytes:
    return b"--x\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


def test_form_is_read_as_browsers_and_curl_write_it(client: Client, fruit: RegisteredModel, media: Path):
    named = b'form-data; name="image"; filename="C:\\photos\\%22red%22 \xe8\x8b\xb9.jpg"'
    body = form(part(b"form-data; name=top_k", b"3"), part(named, picture()), part(b'form-data; name="train"', b"true"))

    reply = client.post("/api/predict/", body, content_type=FORM)

    assert reply.status_code == 202
    prediction = Prediction.objects.get(pk=reply.json()["id"])
    assert prediction.top_k == 3
    assert prediction.image.train_allowed
    assert prediction.image.file_name == '"red" 苹.jpg'
    assert [path.name for path in blob_files(media)] == [prediction.image.blob_id]


MALFORMED = [
    ({"top_k": 3}, "application/json"),
    ({"image": "%%%"}, "application/json"),
    ({"image": 7}, "application/json"),
    ({"image": None}, "application/json"),
    ([1, 2], "application/json"),
    ("{", "application/json"),
    ("[" * 100_000, "application/json"),
    (b"\xff\xfe", "application/json"),
    (b"", "image/jpeg"),
    (b"no boundary", "multipart/form-data"),
    (form(part(PHOTO, b"cut"))[:-6], FORM),
    (form(part(b'form-data; name="image"', b"no file")), FORM),
    (form(part(b'form-data; name="image"; filename=""', b"")), FORM),
    (form(part(b'form-data; name="image"; filename=".."', b"up")), FORM),
    (form(*[part(b'form-data; name="top_k"', b"3")] * 101), FORM),
    (form(part(PHOTO, b"one"), part(PHOTO, b"two")), FORM),
    (b"--x", FORM),
]


@pytest.mark.parametrize(("body", "content_type"), MALFORMED)
def test_malformed_body_is_400(client: Client, fruit: RegisteredModel, body: Any, content_type: str):
    reply = client.post("/api/predict/", body, content_type=content_type)

    assert reply.status_code == 400
    assert reply["Content-Type"] == "application/problem+json"
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/pdf"])
def test_wrong_content_type_is_415(client: Client, fruit: RegisteredModel, content_type: str):
    reply = client.post("/api/predict/", picture(), content_type=content_type)

    assert reply.status_code == 415
    assert reply["Content-Type"] == "application/problem+json"
    assert "image/*" in reply.json()["detail"]


def test_many_files_at_once_are_refused(client: Client, fruit: RegisteredModel):
    files = {f"image{number}": SimpleFile() for number in range(51)}

    reply = client.post("/api/predict/", files)

    assert reply.status_code == 400
    assert reply["Content-Type"] == "application/problem+json"


def SimpleFile():  # noqa: N802
    from django.core.files.uploadedfile import SimpleUploadedFile

    return SimpleUploadedFile("a.jpg", b"x")


# Waiting


@pytest.fixture
def patient(settings: Settings) -> None:
    settings.RECOGNIZER_WAIT_SECONDS = 10


@pytest.fixture
def worker(transactional_db: None, fruit: RegisteredModel, patient: None, broker):
    """Does what a worker does at each ring."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            if broker.blpop(["predict"], timeout=0.05):
                classify_pending()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stopping.set()
    thread.join()


def test_waited_for_answer_is_200(client: Client, worker: None):
    settled = post(client)

    assert settled.status_code == 200
    assert settled.json()["status"] == "succeeded"


def test_undecodable_image_is_422_with_its_row(client: Client, worker: None):
    reply = post(client, undecodable())

    assert reply.status_code == 422
    assert reply["Content-Type"] == "application/problem+json"
    assert Prediction.objects.get(pk=reply.json()["id"]).status == "failed"
    assert client.get(f"/api/predictions/{reply.json()['id']}/").json()["error"]["code"] == "undecodable"
    token = {"Authorization": f"Bearer {reply.json()['access']}"}  # a program keeps no cookie
    assert Client().delete(f"/api/predictions/{reply.json()['id']}/", headers=token).status_code == 204


def test_two_who_wait_for_one_row_both_get_it(client: Client, worker: None, admin_user: User):
    client.force_login(admin_user)
    replies = both(lambda: post(client, headers={"Idempotency-Key": "k"}))

    assert [reply.status_code for reply in replies] == [200, 200]
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert Prediction.objects.count() == 1


@pytest.mark.parametrize("preference", ["respond-async", "wait=0", "wait=5, respond-async"])
def test_client_may_refuse_to_wait(client: Client, fruit: RegisteredModel, patient: None, preference: str):
    assert post(client, headers={"Prefer": preference}).status_code == 202


def test_preference_that_makes_no_sense_is_ignored(client: Client, fruit: RegisteredModel):
    assert post(client, headers={"Prefer": "wait=soon, handling=lenient"}).status_code == 202


def test_wait_ends_without_a_worker(client: Client, transactional_db: None, fruit: RegisteredModel, broker):
    reply = post(client, headers={"Prefer": "wait=1"})

    assert reply.status_code == 202
    assert broker.llen("predict") == 1


def test_two_images_in_one_request_are_refused(client: Client, fruit_rows: RegisteredModel):
    files = [SimpleUploadedFile("a.jpg", picture(1)), SimpleUploadedFile("b.jpg", picture(2))]

    reply = client.post("/api/predict/", {"image": files, "model": "fruit"})

    assert reply.status_code == 400
    assert reply.json()["errors"][0]["field"] == "image"
    assert not Prediction.objects.exists()


def test_address_without_the_slash_takes_uploads_too(client: Client, fruit: RegisteredModel):
    file = SimpleUploadedFile("a.jpg", picture())

    assert client.post("/api/predict", {"image": file}).status_code == 202
