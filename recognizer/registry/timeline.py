"""Which version should have served when. The newest promotion before a moment was in force."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from recognizer.registry.models import Promotion, RegisteredModel


@dataclass(frozen=True)
class Reign:
    """A promotion with the time that it was in force; the newest one has no end."""

    promotion: Promotion
    until: datetime | None

    @property
    def since(self) -> datetime:
        return self.promotion.created_at

    def covers(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


def reigns_of(model: RegisteredModel) -> list[Reign]:
    """All of the model's promotions with their times, newest first."""
    rows = model.promotions.select_related("version__model", "promoted_by").order_by("-created_at", "-pk")
    return list(_reigns(rows.iterator()))


def reign_at(model: RegisteredModel, at: datetime) -> Reign | None:
    """The promotion in force at that moment; None before the first."""
    rows = model.promotions.select_related("version__model", "promoted_by")
    promotion = rows.filter(created_at__lte=at).order_by("-created_at", "-pk").first()
    if promotion is None:
        return None
    later = model.promotions.filter(created_at__gt=at).order_by("created_at", "pk").first()
    return Reign(promotion, later.created_at if later else None)


def _reigns(newest_first: Iterator[Promotion]) -> Iterator[Reign]:
    until = None
    for promotion in newest_first:
        yield Reign(promotion, until)
        until = promotion.created_at
