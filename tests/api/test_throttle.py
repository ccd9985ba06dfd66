"""Rate limits, where they are switched on."""

import json
import sys
from pathlib import Path

import pytest

from tests.project.test_environment import run

_POST = """
import json, sys, time
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.test import Client
replies, start = [], time.monotonic()
for _ in range(3):
    reply = Client(SERVER_NAME="localhost").post("/api/predict/", b"not an image", content_type="image/png")
    replies.append([reply.status_code, reply["Content-Type"], reply.get("Retry-After")])
print(json.dumps([replies, time.monotonic() - start]))
"""


def posted(tmp_path: Path, **environment: str):
    done = run([sys.executable, "-c", _POST], tmp_path, RECOGNIZER_RATE_LIMIT="2/min", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_third_request_in_a_minute_is_429(tmp_path: Path, broker, settings):
    replies, _ = posted(tmp_path, RECOGNIZER_BROKER_URL=f"unix://{settings.RECOGNIZER_BROKER_SOCKET}")

    assert [status for status, *_ in replies] == [415, 415, 429]
    assert replies[2][1] == "application/problem+json"
    assert 0 < int(replies[2][2]) <= 61


@pytest.mark.slow
def test_dead_broker_lets_requests_through(tmp_path: Path):
    replies, seconds = posted(tmp_path)

    assert [status for status, *_ in replies] == [415] * 3
    assert seconds < 5


@pytest.mark.slow
def test_hung_broker_lets_requests_through(tmp_path: Path, hung_broker: None, settings):
    replies, seconds = posted(tmp_path, RECOGNIZER_BROKER_URL=settings.RECOGNIZER_BROKER_URL)

    assert [status for status, *_ in replies] == [415] * 3
    assert seconds < 2  # the first one found out for all


_PAGE = """
import io, json
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from tests.registry_rows import promoted_version
promoted_version("imagenet")
files = [SimpleUploadedFile(f"{n}.png", b"not an image") for n in range(3)]
reply = Client(headers={"host": "localhost"}).post("/", {"images": files, "model": "imagenet"})
print(json.dumps([reply.status_code, reply.content.decode()]))
"""


def test_page_counts_each_file_of_a_form(tmp_path: Path, broker, settings):
    url = f"unix://{settings.RECOGNIZER_BROKER_SOCKET}"
    done = run([sys.executable, "-c", _PAGE], tmp_path, RECOGNIZER_RATE_LIMIT="2/min", RECOGNIZER_BROKER_URL=url)

    status, page = json.loads(done.stdout.splitlines()[-1])

    assert status in (415, 429), done.stderr
    assert page.count("Too many photos in a short time") == 1
