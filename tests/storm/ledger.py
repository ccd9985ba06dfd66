"""What the clients of a storm were promised, and whether it was kept."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from tests.system import rows
from tests.system.client import Reply, predict
from tests.system.pictures import small_picture

REPEATED = 10  # every tenth upload sends the bytes of an earlier one


@dataclass(frozen=True)
class Entry:
    """One upload as its client saw it."""

    phase: str
    number: int
    reply: Reply
    kind: str = "photo"
    has_key: bool = False  # sent again with the same idempotency key until it was answered
    sha256: str = ""

    @property
    def id(self) -> str:
        return str(self.reply.body["id"])

    @property
    def is_promised(self) -> bool:
        """Stored, and its client knows it: 2xx, or 422 for a picture whose stored end is that nobody can read it."""
        return self.reply.is_kept or (self.reply.status == 422 and "id" in self.reply.body)


class Ledger:
    """Every answer that any client got, in the order of arrival."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.entries: list[Entry] = []
        self._strangers = set(rows.predictions(data_dir))  # stored before this storm
        self._lock = Lock()

    def upload(self, url: str, phase: str, number: int) -> Entry:
        """Post one picture; four of five uploads do not wait for the answer."""
        options = {"Prefer": "wait=1"} if number % 5 == 0 else {"Prefer": "respond-async"}
        entry = Entry(phase, number, predict(url, small_picture(content_of(number)), **options))
        self.add(entry)
        return entry

    def add(self, entry: Entry) -> None:
        with self._lock:
            self.entries.append(entry)

    @property
    def kept(self) -> list[Entry]:
        """The answers that are promises."""
        return [entry for entry in self.entries if entry.is_promised]

    def stored(self) -> dict[str, rows.Row]:
        """The rows of this storm."""
        return {key: row for key, row in rows.predictions(self.data_dir).items() if key not in self._strangers}

    def check(self, *, unanswered: int = 0) -> None:
        """Every promise is kept exactly once, and nobody else's row is there.

        But for `unanswered` rows at most, whose web process died before it could answer.
        """
        found = self.stored()
        ids = [entry.id for entry in self.kept]
        assert len(set(ids)) == len(ids), "one id was given twice"
        assert set(ids) <= set(found), f"{set(ids) - set(found)} are lost"
        assert len(found) - len(ids) <= unanswered, f"{set(found) - set(ids)} are nobody's"
        assert not [row for row in found.values() if not (row.has_ended and row.explains_itself)]
        rows.check_files(self.data_dir, unanswered=unanswered)

    def table(self) -> str:
        """One line a phase: what was sent, what was answered, what became of it."""
        found = rows.predictions(self.data_dir)
        lines = [f"{'phase':<24}{'sent':>5}{'200':>5}{'202':>5}{'other':>6}{'slowest':>9}{'ended':>7}{'retried':>8}"]
        lines += [self._line(phase, found) for phase in dict.fromkeys(entry.phase for entry in self.entries)]
        return "\n".join(lines)

    def _line(self, phase: str, found: dict[str, rows.Row]) -> str:
        entries = [entry for entry in self.entries if entry.phase == phase]
        answers = Counter(entry.reply.status for entry in entries)
        mine = [found[entry.id] for entry in entries if entry.is_promised and entry.id in found]
        other = len(entries) - answers[200] - answers[202]
        slowest = max(entry.reply.seconds for entry in entries)
        ended, retried = sum(row.has_ended for row in mine), sum(row.attempts > 1 for row in mine)
        return (
            f"{phase:<24}{len(entries):>5}{answers[200]:>5}{answers[202]:>5}{other:>6}{slowest:>8.2f}s{ended:>7}"
            f"{retried:>8}"
        )


def upload_during(
    ledger: Ledger, url: str, phase: str, *, numbers: Iterable[int], fault: Callable[[], None], num_clients: int = 4
) -> None:
    """Upload from several clients at once while `fault` happens."""
    with ThreadPoolExecutor(num_clients) as clients:
        uploads = [clients.submit(ledger.upload, url, phase, number) for number in numbers]
        fault()
        for upload in uploads:
            upload.result()


def content_of(number: int) -> int:
    """Which picture an upload sends: its own, or that of the upload before it."""
    return number - 1 if number % REPEATED == REPEATED - 1 else number
