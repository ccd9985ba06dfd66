"""What a stranger does first: start the service, send a photo, read the answer."""

import base64
import json
import shutil
import time
from pathlib import Path

import pytest

from tests.service import running_service
from tests.system.client import predict, predict_form, send
from tests.system.pictures import CATS, COFFEE, photo

pytestmark = pytest.mark.service
STAND_STILL_SECONDS = 120


def test_warm_start_soon_gives_first_answer(prepared_data, tmp_path):
    shutil.copytree(prepared_data, tmp_path / "data")
    start = time.monotonic()
    with running_service(tmp_path / "data") as service:
        reply = predict_form(service.url, photo("chelsea.png"), file_name="chelsea.png")
        seconds = time.monotonic() - start

    assert reply.status == 200
    print(f"\nFirst answer {seconds:.1f} s after the start.")  # noqa: T201 - shown by pytest -s
    assert seconds < STAND_STILL_SECONDS  # 20 s is promised on a quiet machine; this one also runs other tests


def test_cat_is_named_in_every_body_form(service):
    raw = photo("chelsea.png")
    encoded = json.dumps({"image": base64.b64encode(raw).decode(), "model": "imagenet"}).encode()

    replies = [
        predict_form(service.url, raw, file_name="chelsea.png"),
        predict(service.url, raw, model="imagenet"),
        send(f"{service.url}/api/predict/", encoded, content_type="application/json"),
    ]

    assert [reply.status for reply in replies] == [200, 200, 200]
    assert {reply.body["top"]["label"] for reply in replies} <= CATS
    assert len({reply.body["id"] for reply in replies}) == 3
    assert len({json.dumps(reply.body["scores"]) for reply in replies}) == 1


def test_coffee_is_named_and_stays_readable(service):
    reply = predict(service.url, photo("coffee.png"), top_k=3)

    assert reply.body["top"]["label"] in COFFEE
    assert len(reply.body["scores"]) == 3
    assert reply.body["model"]["engine"] == "openvino"
    again = send(service.url + reply.body["url"], Authorization=f"Bearer {reply.body['access']}")
    assert {**reply.body, "access": ""} == {**again.body, "access": ""}


def test_memory_of_uploads_goes_back_at_once(service):
    told = {
        name: b"MALLOC_MMAP_THRESHOLD_=262144" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for name, pid in service.pids().items()
    }

    assert [name for name, is_told in told.items() if is_told] == ["web"]
