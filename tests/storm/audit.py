"""The reckoning after a storm: every promise against every row and every file."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from tests.storm.ledger import Entry, Ledger
from tests.storm.witness import Witness, end_of
from tests.system import rows

# Rows that only an interrupted transaction could leave.
ORPHANS = {
    "images without a prediction": "SELECT count(*) FROM predictions_uploadedimage i "
    "WHERE NOT EXISTS (SELECT 1 FROM predictions_prediction p WHERE p.image_id = i.id)",
    "predictions without an image": "SELECT count(*) FROM predictions_prediction WHERE image_id IS NULL",
    "images without their blob": "SELECT count(*) FROM predictions_uploadedimage i "
    "WHERE NOT EXISTS (SELECT 1 FROM predictions_blob b WHERE b.sha256 = i.blob_id)",
    "blobs without an image": "SELECT count(*) FROM predictions_blob b "
    "WHERE NOT EXISTS (SELECT 1 FROM predictions_uploadedimage i WHERE i.blob_id = b.sha256)",
    "keys without their prediction": "SELECT count(*) FROM predictions_idempotencykey k "
    "WHERE NOT EXISTS (SELECT 1 FROM predictions_prediction p WHERE p.id = k.prediction_id)",
}
BYTES = "SELECT p.id, i.blob_id FROM predictions_prediction p JOIN predictions_uploadedimage i ON i.id = p.image_id"
EXPECTED = (0, 200, 202, 422, 503, 507)
UNHEARD = (0, 503)  # no answer, or that of a database that went away: the row may be there all the same
OLD_SECONDS = 2 * 3600  # the sweep takes what is an hour old


@dataclass(frozen=True)
class Excuse:
    """Failures that the storm has made: of these codes, of pictures of these kinds, or of any between two moments."""

    codes: frozenset[str]
    kinds: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def covers(self, row: rows.Row, kind: str) -> bool:
        if row.error_code not in self.codes:
            return False
        return kind in self.kinds or bool(
            self.since and self.until and row.finished_at and self.since <= row.finished_at <= self.until
        )


@dataclass
class Findings:
    """What was promised and is not so. All lists are empty after a storm that lost nothing."""

    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not any(vars(self).values())


def audit(ledger: Ledger, witness: Witness, excuses: Sequence[Excuse], *, sweep: Callable[[], object]) -> Findings:
    """Look at everything, once the service is down."""
    found = ledger.stored()
    sha256_of = {_id(key): sha256 for key, sha256 in rows.query(ledger.data_dir, BYTES) if _id(key) in found}
    findings = Findings()
    promised = [entry for entry in ledger.entries if entry.is_promised]
    findings.lost = sorted({entry.id for entry in promised} - set(found))
    findings.double = [
        *_given_twice(entry.id for entry in promised),
        *_changed(witness, found),
        *_nobodys(promised, ledger, sha256_of),
        *_swapped(promised, sha256_of),
    ]
    findings.unfinished = [f"{row.id} is {row.status}" for row in found.values() if not row.has_ended]
    kinds = {entry.id: entry.kind for entry in promised}
    unexplained = [row for row in found.values() if row.has_ended and not _is_explained(row, kinds, excuses)]
    findings.unexplained = [
        *(f"{row.id} ({kinds.get(row.id)}): {row.status} {row.error_code} {row.error_detail}" for row in unexplained),
        *_strange_answers(ledger),
    ]
    findings.strays = [*_orphan_rows(ledger.data_dir), *_stray_files(ledger.data_dir, sweep)]
    return findings


def _given_twice(ids: Iterable[str]) -> list[str]:
    return [f"{key} was given to {times} uploads" for key, times in Counter(ids).items() if times > 1]


def _changed(witness: Witness, found: dict[str, rows.Row]) -> list[str]:
    return [
        f"{key} was {before}, is {end_of(found[key])}"
        for key, before in witness.ends.items()
        if key in found and end_of(found[key]) != before
    ]


def _swapped(promised: Sequence[Entry], sha256_of: Mapping[str, str]) -> list[str]:
    """Ids whose row has another upload's bytes."""
    wrong = [entry.id for entry in promised if sha256_of.get(entry.id, entry.sha256) != entry.sha256]
    return [f"{key} has the bytes of another upload" for key in wrong]


def _nobodys(promised: Sequence[Entry], ledger: Ledger, sha256_of: Mapping[str, str]) -> list[str]:
    """Rows that no upload explains.

    An upload without a key, whose client never heard, may have one: nobody can ask what became of it.
    """
    known = {entry.id for entry in promised}
    answered = {entry.number for entry in promised}
    unheard = {e.number: e.sha256 for e in ledger.entries if e.number not in answered and e.reply.status in UNHEARD}
    left = Counter(unheard.values())
    left.subtract(sha256 for key, sha256 in sha256_of.items() if key not in known)
    return [f"{-number} rows of {sha256} belong to no upload" for sha256, number in left.items() if number < 0]


def _id(value: object) -> str:
    return str(UUID(str(value)))


def _is_explained(row: rows.Row, kinds: Mapping[str, str], excuses: Sequence[Excuse]) -> bool:
    is_excused = row.status == "succeeded" or any(excuse.covers(row, kinds.get(row.id, "")) for excuse in excuses)
    return row.explains_itself and is_excused


def _strange_answers(ledger: Ledger) -> list[str]:
    """Answers that no fault of the storm makes: a client's mistake, or a server's that has no words for it."""
    strange = [entry.reply for entry in ledger.entries if entry.reply.status not in EXPECTED]
    return [f"answer {reply.status}: {reply.text[:300]}" for reply in strange]


def _orphan_rows(data_dir: Path) -> list[str]:
    counts = {what: int(rows.query(data_dir, sql)[0][0]) for what, sql in ORPHANS.items()}
    return [f"{number} {what}" for what, number in counts.items() if number]


def _stray_files(data_dir: Path, sweep: Callable[[], object]) -> list[str]:
    """Files that are missing, or not what their name says, or left over after the service's own sweep of old ones."""
    _make_old(rows.blob_files(data_dir))
    sweep()
    files = {path.name: path for path in rows.blob_files(data_dir)}
    named = {sha256 for (sha256,) in rows.query(data_dir, "SELECT sha256 FROM predictions_blob")}
    wrong = [name for name in named & set(files) if hashlib.sha256(files[name].read_bytes()).hexdigest() != name]
    return (
        [f"the file of {name} is missing" for name in named - set(files)]
        + [f"{name} is not what its name says" for name in wrong]
        + [f"{name} belongs to no row" for name in set(files) - named]
    )


def _make_old(files: Iterable[Path]) -> None:
    at = time.time() - OLD_SECONDS
    for path in files:
        os.utime(path, (at, at))
