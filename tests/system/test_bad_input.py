"""Hostile, broken and odd files: each gets a picture's answer or a reason that a person understands."""

import re
from pathlib import Path

import pytest

from tests.photos import photos
from tests.system import rows
from tests.system.client import Reply, predict_form
from tests.system.hostile_files import REFUSED, odd_files, refused_files

pytestmark = pytest.mark.service
MAX_SECONDS = 2.0
MAX_GROWTH_BYTES = 100_000_000
A_SENTENCE = re.compile(r"[A-Z].{15,}\.$", re.DOTALL)


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_file_is_refused_before_it_is_stored(service, name):
    stored = rows.stored(service.data_dir)
    reply = predict_form(service.url, refused_files()[name], file_name=name)

    assert problems_of(reply) == []
    assert reply.body["type"].endswith(REFUSED[name])
    assert reply.seconds < MAX_SECONDS
    assert rows.stored(service.data_dir) == stored


@pytest.mark.parametrize("name", odd_files())
def test_odd_file_gets_an_answer_or_words(service, name):
    assert what_is_wrong(service, name, odd_files()[name]) == []


def test_bad_files_get_words_and_leave_no_traces(service):
    files = sorted(path for path in photos("badinput").iterdir() if path.name != "index.tsv")
    predict_form(service.url, b"warm", file_name="warm")
    before = resident_bytes(service.pids()["web"])

    failures = [
        f"{path.name}: {found}" for path in files for found in what_is_wrong(service, path.name, path.read_bytes())
    ]

    grown = resident_bytes(service.pids()["web"]) - before
    print(f"\n{len(files)} files, the web process grew by {grown / 1e6:.1f} MB.")  # noqa: T201 - shown by pytest -s
    assert not failures, "\n".join(failures)
    assert grown < MAX_GROWTH_BYTES


def what_is_wrong(service, name: str, raw: bytes) -> list[str]:
    stored = rows.stored(service.data_dir)
    reply = predict_form(service.url, raw, file_name=name)
    found = [] if reply.seconds < MAX_SECONDS else [f"took {reply.seconds:.2f} s"]
    if reply.status == 200:
        return found + ([] if reply.body["status"] == "succeeded" else [f"ended as {reply.body['error']}"])
    found += problems_of(reply)
    if reply.status == 422 and "id" in reply.body:  # only the worker saw what is wrong
        row = rows.predictions(service.data_dir)[reply.body["id"]]
        return found + ([] if row.status == "failed" and row.error_detail else [f"left the row {row}"])
    return found + ([] if rows.stored(service.data_dir) == stored else ["was refused, but left something"])


def problems_of(reply: Reply) -> list[str]:
    """A refusal must be a problem document with a sentence in it."""
    if not 400 <= reply.status < 500 or reply.headers.get_content_type() != "application/problem+json":
        return [f"{reply.status} {reply.headers.get_content_type()} {reply.text[:200]}"]
    return [] if A_SENTENCE.match(reply.body["detail"]) else [f"no sentence: {reply.body['detail']!r}"]


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
