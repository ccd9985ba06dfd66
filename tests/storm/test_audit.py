"""The reckoning finds each kind of broken promise."""

import hashlib
import json
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path

import pytest

from tests.storm.audit import Excuse, Findings, audit
from tests.storm.ledger import Entry, Ledger
from tests.storm.witness import Witness
from tests.system import rows
from tests.system.client import Reply

TABLES = """
CREATE TABLE predictions_blob (sha256 text);
CREATE TABLE predictions_uploadedimage (id text, blob_id text);
CREATE TABLE predictions_idempotencykey (prediction_id text);
CREATE TABLE predictions_prediction (id text, image_id text, status text, attempts int, label text, score real,
    scores text, error_code text, error_detail text, finished_at text);
"""
AT = datetime(2026, 1, 1, tzinfo=UTC)
NO_EXCUSE = [Excuse(frozenset({"undecodable"}), kinds=frozenset({"broken"}))]


class Stored:
    """A data folder with rows and files in it, and a ledger beside it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.execute(*TABLES.split(";"))
        self.ledger = Ledger(data_dir)
        self.witness = Witness(data_dir)

    def execute(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.data_dir / "db.sqlite3")) as database, database:
            for statement in statements:
                database.execute(statement)

    def answered(self, number: int = 0, *, kind: str = "photo", status: int = 202) -> str:
        """An upload with an answer to it; nothing is stored yet."""
        key, sha256 = str(uuid.uuid4()), hashlib.sha256(b"%d" % number).hexdigest()
        reply = Reply(status, json.dumps({"id": key}) if status == 202 else "", Message(), 0.1)
        self.ledger.add(Entry("storm", number, reply, kind, sha256=sha256))
        return key

    def store(self, key: str, number: int = 0, *, status: str = "succeeded", error: str = "") -> None:
        """The file and the rows of an upload."""
        sha256 = hashlib.sha256(b"%d" % number).hexdigest()
        path = self.data_dir / "media" / "blobs" / sha256[:2] / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
        scores = '[["apple", 0.9]]' if status == "succeeded" else "[]"
        self.execute(
            f"INSERT INTO predictions_blob SELECT '{sha256}' WHERE NOT EXISTS (SELECT 1 FROM predictions_blob "
            f"WHERE sha256 = '{sha256}')",
            f"INSERT INTO predictions_uploadedimage VALUES ('{key}', '{sha256}')",
            f"INSERT INTO predictions_prediction VALUES ('{uuid.UUID(key).hex}', '{key}', '{status}', 1, 'apple', 0.9, "
            f"'{scores}', '{error}', '{error and 'a reason'}', '{AT:%Y-%m-%d %H:%M:%S.%f}')",
        )

    def audit(self, *excuses: Excuse) -> Findings:
        return audit(self.ledger, self.witness, [*NO_EXCUSE, *excuses], sweep=lambda: None)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    stored = Stored(tmp_path)
    stored.store(stored.answered(1), 1)
    return stored


def found(findings: Findings) -> set[str]:
    return {name for name, texts in vars(findings).items() if texts}


def test_kept_promises_are_clean(stored: Stored):
    stored.store(stored.answered(2, kind="broken"), 2, status="failed", error="undecodable")
    stored.answered(3, status=507)

    assert stored.audit().is_clean


def test_promise_without_a_row_is_lost(stored: Stored):
    key = stored.answered(2)

    assert stored.audit().lost == [key]


def test_row_that_waits_is_unfinished(stored: Stored):
    stored.store(stored.answered(2), 2, status="running")

    assert found(stored.audit()) == {"unfinished"}


def test_row_with_the_bytes_of_another_upload_is_double(stored: Stored):
    first, second = stored.answered(2), stored.answered(3)
    stored.store(first, 3)
    stored.store(second, 2)

    assert stored.audit().double == [f"{key} has the bytes of another upload" for key in (first, second)]


def test_row_that_nobody_sent_is_double(stored: Stored):
    stored.store(str(uuid.uuid4()), 1)

    assert found(stored.audit()) == {"double"}


def test_row_of_an_upload_without_an_answer_is_allowed_once(stored: Stored):
    stored.answered(2, status=0)
    stored.store(str(uuid.uuid4()), 2)
    assert stored.audit().is_clean

    stored.store(str(uuid.uuid4()), 2)
    assert found(stored.audit()) == {"double"}


def test_refused_upload_may_leave_no_row(stored: Stored):
    stored.answered(2, status=507)
    stored.store(str(uuid.uuid4()), 2)

    assert found(stored.audit()) == {"double"}


def test_result_that_changes_is_double(stored: Stored):
    stored.witness.look()
    stored.execute("UPDATE predictions_prediction SET score = 0.8")

    assert found(stored.audit()) == {"double"}


def test_failure_without_an_excuse_is_unexplained(stored: Stored):
    stored.store(stored.answered(2), 2, status="failed", error="undecodable")

    assert found(stored.audit()) == {"unexplained"}


@pytest.mark.parametrize(("minutes", "is_clean"), [(1, True), (-1, False)])
def test_excuse_for_a_time_covers_no_other(stored: Stored, minutes: int, is_clean: bool):
    stored.store(stored.answered(2), 2, status="failed", error="out_of_memory")
    until = AT + timedelta(minutes=minutes)

    excuse = Excuse(frozenset({"out_of_memory"}), since=AT - timedelta(minutes=5), until=until)

    assert stored.audit(excuse).is_clean == is_clean


def test_crash_of_a_request_is_unexplained(stored: Stored):
    stored.answered(2, status=500)

    assert found(stored.audit()) == {"unexplained"}


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_file_that_is_missing_or_wrong_is_found(stored: Stored, spoil):
    [path] = rows.blob_files(stored.data_dir)
    spoil(path)

    assert found(stored.audit()) == {"strays"}


def test_file_and_row_without_an_upload_are_found(stored: Stored):
    (stored.data_dir / "media" / "blobs" / ("e" * 64)).write_bytes(b"x")
    stored.execute("INSERT INTO predictions_idempotencykey VALUES ('gone')")

    assert len(stored.audit().strays) == 2
