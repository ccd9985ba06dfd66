"""A person's own past recognitions, in pages of a fixed cost."""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware, make_aware

from recognizer.predictions.models import Owner, Prediction
from recognizer.registry.models import Label

PAGE_SIZE = 24  # fills rows of 2, 3 and 4


@dataclass(frozen=True)
class Page:
    """Recognitions, newest first. `next_cursor` is empty on the last page."""

    rows: list[Prediction]
    next_cursor: str


def own_history(owner: Owner, filters: dict[str, Any], *, cursor: str = "") -> Page:
    """The page after the cursor. A cursor that cannot be read is that of the first page.

    The next page starts from the last row's key, so a page costs the same however far back it lies.
    """
    rows = _after(_filtered(Prediction.objects.owned_by(owner), filters), cursor)
    newest = rows.order_by("-created_at", "-pk").select_related("model", "version", "image")
    found = list(newest[: PAGE_SIZE + 1])
    page = found[:PAGE_SIZE]
    return Page(page, _cursor_of(page[-1]) if len(found) > PAGE_SIZE else "")


def _filtered(rows: QuerySet[Prediction], filters: dict[str, Any]) -> QuerySet[Prediction]:
    if words := filters.get("label"):
        rows = rows.filter(label__in=Label.objects.keys_named(words))
    if model := filters.get("model"):
        rows = rows.filter(model=model)
    if status := filters.get("status"):
        rows = rows.filter(status=status)
    if start := filters.get("start"):
        rows = rows.filter(created_at__gte=_midnight(start))
    if (end := filters.get("end")) and end < date.max:
        rows = rows.filter(created_at__lt=_midnight(end + timedelta(days=1)))
    return rows.filter(known=False) if filters.get("unknown") else rows


def _midnight(day: date) -> datetime:
    return make_aware(datetime.combine(day, time.min))


def moment_of(text: str) -> datetime | None:
    """A moment that the database can compare; None for what is none, or lies outside of the calendar in UTC."""
    try:
        moment = parse_datetime(text)
        return moment.astimezone(UTC) if moment and is_aware(moment) else None
    except (ValueError, OverflowError):
        return None


def _cursor_of(row: Prediction) -> str:
    return f"{row.created_at.isoformat()}_{row.pk.hex}"


def _after(rows: QuerySet[Prediction], cursor: str) -> QuerySet[Prediction]:
    created_at, _, pk = cursor.partition("_")
    last = moment_of(created_at)
    try:
        last_pk = uuid.UUID(pk)
    except ValueError:
        return rows
    if last is None:
        return rows
    # The first condition repeats part of the second: it is the one an index can use.
    return rows.filter(created_at__lte=last).filter(Q(created_at__lt=last) | Q(pk__lt=last_pk))
