"""The database and the files of a running service, seen from outside: no Django, nothing is changed."""

import hashlib
import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tests.service import wait_until

NOT_NOW = (sqlite3.Error, psycopg.Error)  # a database that is down, or whose disk is full
FIELDS = "id, status, attempts, label, score, scores, error_code, error_detail, finished_at"


@dataclass(frozen=True)
class Row:
    """One prediction as stored."""

    id: str
    status: str
    attempts: int
    label: str
    score: float | None
    scores: list[tuple[str, float]]
    error_code: str
    error_detail: str
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        return self.status in ("succeeded", "failed")

    @property
    def explains_itself(self) -> bool:
        """A success has scores, a failure has a reason."""
        return bool(self.scores and self.label) if self.status == "succeeded" else bool(self.error_detail)


_on_postgres: dict[Path, str] = {}  # DATABASE_URL by data folder


def are_on_postgres(data_dir: Path, url: str) -> None:
    """The rows of this data folder are in another database than its own SQLite."""
    _on_postgres[data_dir] = url


def query(data_dir: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """What this SELECT finds; `?` stands for a value. Raises one of NOT_NOW."""
    if data_dir in _on_postgres:
        with psycopg.connect(_on_postgres[data_dir], connect_timeout=5) as connection:
            return connection.execute(sql.replace("?", "%s").encode(), values or None).fetchall()
    address = f"file:{data_dir / 'db.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=20)) as database:
        return database.execute(sql, values).fetchall()


def predictions(data_dir: Path) -> dict[str, Row]:
    """Every prediction by its id, written as the API writes it."""
    return {row.id: row for row in map(_row, query(data_dir, f"SELECT {FIELDS} FROM predictions_prediction"))}


def prediction(data_dir: Path, key: str) -> Row:
    """One of them."""
    # As text, as SQLite has it: without hyphens.
    sql = f"SELECT {FIELDS} FROM predictions_prediction WHERE id = ?"
    return _row(query(data_dir, sql, key if data_dir in _on_postgres else UUID(key).hex)[0])


def _row(values: tuple[Any, ...]) -> Row:
    row = Row(*values)
    # SQLite gives text where PostgreSQL gives an id and a list.
    listed = json.loads(values[5]) if isinstance(values[5], str) else values[5]
    scores = [(label, score) for label, score in listed]
    return Row(str(UUID(str(row.id))), *values[1:5], scores, *values[6:8], _moment(row.finished_at))


def _moment(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(f"{value}+00:00") if isinstance(value, str) else value


def count(data_dir: Path, table: str) -> int:
    return int(query(data_dir, f"SELECT COUNT(*) FROM predictions_{table}")[0][0])


def count_status(data_dir: Path, status: str) -> int:
    found = query(data_dir, "SELECT COUNT(*) FROM predictions_prediction WHERE status = ?", status)
    return int(found[0][0])


def statuses(data_dir: Path) -> Counter[str]:
    return Counter(dict(query(data_dir, "SELECT status, COUNT(*) FROM predictions_prediction GROUP BY status")))


def blob_files(data_dir: Path) -> set[Path]:
    """Every file under the blobs, half-written ones included."""
    return {path for path in (data_dir / "media" / "blobs").rglob("*") if path.is_file()}


def stored(data_dir: Path) -> tuple[int, int, int, set[Path]]:
    """All that an upload leaves: rows of three tables, and files."""
    tables = ("prediction", "uploadedimage", "blob")
    return (*(count(data_dir, table) for table in tables), blob_files(data_dir))


def check_files(data_dir: Path, *, unanswered: int = 0) -> None:
    """Every blob row has its file, and each file is what its name says.

    Every file has its row, but for `unanswered` uploads at most, whose web process died between the two.
    """
    files = blob_files(data_dir)
    whole = {path.name: path for path in files if path.suffix != ".part"}
    named = {sha256 for (sha256,) in query(data_dir, "SELECT sha256 FROM predictions_blob")}
    assert named <= set(whole)
    assert len(files) - len(named) <= unanswered
    for name, path in whole.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name


def wait_all_ended(data_dir: Path, *, seconds: float) -> None:
    """Wait until nothing is pending or running."""
    try:
        wait_until(lambda: _is_quiet(data_dir), seconds=seconds, what="The end of every prediction")
    except AssertionError as error:
        raise AssertionError(f"{error}; there are {dict(statuses(data_dir))}") from None


def _is_quiet(data_dir: Path) -> bool:
    found = statuses(data_dir)
    return not found["pending"] and not found["running"]
