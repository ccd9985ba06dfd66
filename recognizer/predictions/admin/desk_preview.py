"""What a verdict on many recognitions would change, before it does."""

from collections import Counter
from typing import Any

from django.db.models import QuerySet

from recognizer.predictions.admin.actions import MAX_AT_ONCE
from recognizer.predictions.admin.desk_tiles import newest_reviews, seen_of
from recognizer.predictions.describe import label_names
from recognizer.predictions.models import Prediction, Review
from recognizer.registry.models import Label

NONE = "none of my classes"


def preview(rows: QuerySet[Prediction], verdict: Review.Verdict, label: Label | None) -> dict[str, Any]:
    """The recognitions that would be judged, as the desk names them, and the change in numbers."""
    chosen = list(rows[: MAX_AT_ONCE + 1])
    has_more, chosen = len(chosen) > MAX_AT_ONCE, chosen[:MAX_AT_ONCE]
    newest, names = newest_reviews(row.pk for row in chosen), label_names(chosen)
    own = {row.pk: NONE if row.known is False else names.get((row.model_id, row.label), row.label) for row in chosen}
    changes: Counter[tuple[str, str]] = Counter()
    for row in chosen:
        before = _counts(newest.get(row.pk)) or own[row.pk]
        changes[before, _after(own[row.pk], verdict, label)] += 1
    return {
        "items": [{"id": str(row.pk), "seen": seen_of(newest.get(row.pk))} for row in chosen],
        "changes": [{"from": old, "to": new, "number": number} for (old, new), number in changes.most_common()],
        "num_reviewed": sum(_counts(newest.get(row.pk)) != "" for row in chosen),
        "has_more": has_more,
    }


def _counts(review: Review | None) -> str:
    """What the newest review says it is; empty where none counts."""
    if review is None or review.verdict == Review.Verdict.WITHDRAWN:
        return ""
    return review.label.name if review.label else NONE


def _after(own: str, verdict: Review.Verdict, label: Label | None) -> str:
    if verdict == Review.Verdict.CORRECTED and label:
        return label.name
    return NONE if verdict == Review.Verdict.REJECTED else own
