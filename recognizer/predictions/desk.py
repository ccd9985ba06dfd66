"""What a reviewer sees next: a bounded window of the queue, near-duplicates as one tile, the most useful first.

WINDOW recognitions are read and put in order here; a full order of all of them would read the table for every page.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, TextChoices

from recognizer.predictions.models import Feedback, Prediction

WINDOW = 2_000
MAX_DISPUTED = 500
OBJECTION = 1.0  # a user says that it is something else: as good a reason to look as a tie of two labels
DISSENT = 0.5  # a near-duplicate got another answer
STRANGER = 0.25  # "none of my classes", and more so the surer the network itself was


class Order(TextChoices):
    """In which order the queue comes."""

    USEFUL = "useful", "Most useful first"
    NEWEST = "newest", "Newest first"
    SCORE = "score", "Lowest score first"
    LABEL = "label", "By label"
    REPORTED = "reported", "Reported by users first"


@dataclass(frozen=True)
class Candidate:
    """What ordering and grouping need of a recognition."""

    pk: UUID
    label: str
    known: bool | None
    scores: Sequence[tuple[str, float]]
    look: str  # pictures that share it are near-duplicates
    is_disputed: bool = False

    @property
    def group(self) -> tuple[str, str, bool]:
        """One verdict settles all that look alike and got the same answer."""
        return self.look, self.label, self.known is False

    @property
    def usefulness(self) -> float:
        """How much a verdict would teach, as far as this answer alone tells."""
        best, second = [*(score for _, score in self.scores), 0.0, 0.0][:2]
        stranger = STRANGER * (1 + best) if self.known is False else 0.0
        return 1 - (best - second) + stranger + (OBJECTION if self.is_disputed else 0.0)


@dataclass
class Tile:
    """Recognitions that one verdict settles; the first is shown."""

    members: list[UUID] = field(default_factory=list)
    claim: int | None = None  # which one the tile stands for, in the queue of claims


def next_tiles(rows: QuerySet[Prediction], order: Order, *, offset: int, size: int) -> list[Tile]:
    """The tiles from `offset` on, in the window of these rows."""
    candidates = _window(rows, order)
    if order == Order.USEFUL:
        candidates = by_usefulness(candidates)
    return tiles_of(candidates)[offset : offset + size]


def claimed_tiles(rows: QuerySet[Prediction]) -> list[Tile]:
    """The newest claims about these rows that no verdict has followed, one tile for each recognition."""
    claims = unsettled_claims(rows).order_by("-pk").values_list("prediction", "pk")[:WINDOW]
    newest: dict[UUID, int] = {}
    for prediction, claim in claims:
        newest.setdefault(prediction, claim)
    return [Tile([prediction], claim) for prediction, claim in newest.items()]


def unsettled_claims(rows: QuerySet[Prediction]) -> QuerySet[Feedback]:
    """Claims about these rows that wait for a reviewer."""
    # Each claim asks for its row. The other way round, from all rows to their claims, takes half a second.
    return Feedback.objects.unsettled().filter(Exists(rows.order_by().filter(pk=OuterRef("prediction"))))


def by_usefulness(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Ties of labels, strangers, and what users or near-duplicates contradict, before what is clear."""
    candidates = list(candidates)
    answers: dict[str, set[str]] = {}
    for one in candidates:
        answers.setdefault(one.look, set()).add(one.label)

    def worth(one: Candidate) -> float:
        return one.usefulness + (DISSENT if len(answers[one.look]) > 1 else 0.0)

    return sorted(candidates, key=worth, reverse=True)


def tiles_of(candidates: Iterable[Candidate]) -> list[Tile]:
    """Each group where its first member stands, so that near-duplicates never fill the screen."""
    tiles: dict[tuple[str, str, bool], Tile] = {}
    for one in candidates:
        tiles.setdefault(one.group, Tile()).members.append(one.pk)
    return list(tiles.values())


def _window(rows: QuerySet[Prediction], order: Order) -> list[Candidate]:
    if order == Order.SCORE:
        return _candidates(rows.order_by("score")[:WINDOW])
    if order == Order.LABEL:
        return _candidates(rows.order_by("label", "-created_at")[:WINDOW])
    newest = rows.order_by("-created_at", "-pk")
    if order == Order.NEWEST:
        return _candidates(newest[:WINDOW])
    disputed = _disputed(newest)
    return [*disputed.values(), *(one for one in _candidates(newest[:WINDOW]) if one.pk not in disputed)]


def _disputed(rows: QuerySet[Prediction]) -> dict[UUID, Candidate]:
    """Those that users called wrong, by the newest claims."""
    # Their keys first: given both tables at once, a planner may walk through all of either.
    claimed = (
        Feedback.objects.filter(is_correct=False).order_by("-pk").values_list("prediction", flat=True)[:MAX_DISPUTED]
    )
    found = rows.filter(pk__in=list(claimed))
    return {one.pk: one for one in _candidates(found, is_disputed=True)}


def _candidates(rows: QuerySet[Prediction], *, is_disputed: bool = False) -> list[Candidate]:
    columns = ("pk", "label", "known", "scores", "image__blob", "image__blob__look_group")
    return [
        Candidate(pk, label, known, scores, str(look or blob or pk), is_disputed)
        for pk, label, known, scores, blob, look in rows.values_list(*columns)
    ]
