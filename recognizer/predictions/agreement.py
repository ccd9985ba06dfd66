"""How often a version on trial says what was answered: by day, by class, and who was right where they differ."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Case, Count, F, Prefetch, Q, QuerySet, Value, When

from recognizer.predictions.models import PredictionQuerySet, Review, SecondOpinion
from recognizer.registry.models import ModelVersion

NUM_DAYS = 90  # the newest ones, as many as a chart has room for
NUM_CLASSES = 20  # those with most disagreements
DIFFERS = [False]  # with `__in`: for "= False" Django writes a NOT, for which SQLite uses no index


@dataclass(frozen=True)
class Tally:
    """How many of the compared answers are the same. `of` is a day, or the key of the live answer."""

    of: Any
    num_agreed: int = 0
    num_compared: int = 0

    @property
    def num_differing(self) -> int:
        return self.num_compared - self.num_agreed

    @property
    def share(self) -> float:
        return self.num_agreed / self.num_compared if self.num_compared else 0.0

    @property
    def percent(self) -> str:
        return f"{self.share:.1%}" if self.num_compared else "-"


@dataclass(frozen=True)
class Verdicts:
    """What reviewers say about answers that differ."""

    num_live: int  # the live answer was right
    num_trial: int  # the version on trial was right
    num_neither: int

    @property
    def num_judged(self) -> int:
        return self.num_live + self.num_trial + self.num_neither


def by_day(version: ModelVersion) -> list[Tally]:
    """A tally of each day with opinions, oldest first."""
    return sorted(_tallies(version, "day"), key=lambda tally: tally.of)


def by_class(version: ModelVersion) -> list[Tally]:
    """A tally of each live answer, those with most disagreements first."""
    return sorted(_tallies(version, "live_answer"), key=lambda tally: (-tally.num_differing, tally.of))[:NUM_CLASSES]


def total(tallies: Iterable[Tally]) -> Tally:
    rows = list(tallies)
    return Tally("all", sum(row.num_agreed for row in rows), sum(row.num_compared for row in rows))


def calendar(tallies: list[Tally]) -> list[Tally]:
    """The newest days in a row, those without opinions too."""
    if not tallies:
        return []
    found, last = {tally.of: tally for tally in tallies}, tallies[-1].of
    first: date = max(tallies[0].of, last - timedelta(days=NUM_DAYS - 1))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [found.get(day, Tally(day)) for day in days]


def num_without_answer(version: ModelVersion) -> int:
    """How often it gave none, because of an error."""
    return SecondOpinion.objects.filter(version=version, agrees=None).count()


def who_was_right(version: ModelVersion) -> Verdicts:
    """Where they differ and a reviewer has said what is right. Where they agree both are right, or none."""
    differing = {"prediction__second_opinions__version": version, "prediction__second_opinions__agrees__in": DIFFERS}
    truth = Case(When(verdict=Review.Verdict.REJECTED, then=Value("")), default=F("label__key"))
    live, trial = (F(f"prediction__second_opinions__{name}") for name in ("live_answer", "answer"))
    found = (
        Review.objects.newest()
        .filter(**differing)
        .order_by()
        .annotate(truth=truth, live=live, trial=trial)
        .aggregate(
            num=Count("pk"),
            live_right=Count("pk", filter=Q(truth=F("live"))),
            trial_right=Count("pk", filter=Q(truth=F("trial"))),
        )
    )
    num_neither = found["num"] - found["live_right"] - found["trial_right"]
    return Verdicts(found["live_right"], found["trial_right"], num_neither)


def tried_versions() -> QuerySet[ModelVersion]:
    """Those that were ever on trial, with no more than their names: what describes an artifact is long."""
    tried = ModelVersion.objects.filter(trials__isnull=False).distinct()
    return tried.select_related("model").only("number", "model__name")


def disagreements(version: ModelVersion, *, live_answer: str | None = None) -> QuerySet[SecondOpinion]:
    """Opinions that differ, newest first, with what is shown of them; only those about this answer, if it is given."""
    rows = SecondOpinion.objects.filter(version=version, agrees__in=DIFFERS)
    if live_answer is not None:
        rows = rows.filter(live_answer=live_answer)
    reviews = Prefetch("prediction__reviews", Review.objects.newest().select_related("label"), to_attr="newest_reviews")
    return rows.select_related("prediction").prefetch_related(reviews).order_by("-day", "-pk")


def disagreeing(rows: PredictionQuerySet, version_id: int) -> PredictionQuerySet:
    """Those of these recognitions about which the version says something else."""
    differing = SecondOpinion.objects.filter(version=version_id, agrees__in=DIFFERS)
    return rows.filter(pk__in=differing.values("prediction"))


def _tallies(version: ModelVersion, column: str) -> list[Tally]:
    rows = SecondOpinion.objects.filter(version=version, agrees__isnull=False).order_by()
    agreed: dict[Any, int] = {}
    compared: dict[Any, int] = {}
    for of, agrees, number in rows.values_list(column, "agrees").annotate(number=Count("*")):
        compared[of] = compared.get(of, 0) + number
        agreed[of] = agreed.get(of, 0) + (number if agrees else 0)
    return [Tally(of, agreed[of], compared[of]) for of in compared]
