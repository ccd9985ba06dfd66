"""A tile of the desk as JSON values."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.timezone import localtime

from recognizer.predictions.describe import Names, image_url, label_names
from recognizer.predictions.desk import Tile
from recognizer.predictions.models import Feedback, Prediction, Review
from recognizer.predictions.review import NONE_YET

MAX_CLAIMS_SHOWN = 3
MAX_SCORES_SHOWN = 5


def tiles_as_json(tiles: Sequence[Tile]) -> list[dict[str, Any]]:
    """Each tile with what its first member is about, in a constant number of queries."""
    shown = Prediction.objects.in_bulk([tile.members[0] for tile in tiles])
    names = label_names(shown.values())
    newest = newest_keys(pk for tile in tiles for pk in tile.members)
    reviews = newest_reviews(shown)
    claims = _claims(shown)
    return [
        {
            **_answer(shown[tile.members[0]], names),
            "members": [{"id": str(pk), "seen": newest.get(pk, NONE_YET)} for pk in tile.members],
            "review": review_as_json(reviews.get(tile.members[0])),
            "claims": claims.get(tile.members[0], [])[:MAX_CLAIMS_SHOWN],
            "num_claims": len(claims.get(tile.members[0], [])),
            "claim": tile.claim,
        }
        for tile in tiles
        if tile.members[0] in shown
    ]


def newest_keys(predictions: Iterable[UUID]) -> dict[UUID, int]:
    """The key of the newest review of each: a page has 48 tiles, and up to thousands of recognitions behind them."""
    return dict(Review.objects.filter(prediction__in=list(predictions)).order_by("pk").values_list("prediction", "pk"))


def newest_reviews(predictions: Iterable[UUID]) -> dict[UUID, Review]:
    """The newest review of each, also one that takes a verdict back."""
    rows = Review.objects.filter(prediction__in=list(predictions)).select_related("label", "reviewer").order_by("pk")
    return {review.prediction_id: review for review in rows}


def seen_of(newest: Review | None) -> int:
    """What a verdict must name to show that its reviewer knew of this one."""
    return newest.pk if newest else NONE_YET


def review_as_json(review: Review | None) -> dict[str, Any] | None:
    """A verdict that counts: who, what and when."""
    if review is None or review.verdict == Review.Verdict.WITHDRAWN:
        return None
    return {
        "verdict": review.verdict,
        "label": review.label.key if review.label else None,
        "name": review.label.name if review.label else None,
        "reviewer": review.reviewer.get_username() if review.reviewer else None,
        "when": localtime(review.created_at).strftime("%Y-%m-%d %H:%M"),
    }


def _answer(row: Prediction, names: Names) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "label": row.label,
        "name": names.get((row.model_id, row.label), row.label),
        "score": row.score,
        "known": row.known,
        "scores": [
            {"label": key, "name": names.get((row.model_id, key), key), "score": score}
            for key, score in row.scores[:MAX_SCORES_SHOWN]
        ],
        "when": localtime(row.created_at).strftime("%Y-%m-%d %H:%M"),
        "thumbnail": image_url(row.pk, "thumbnail"),
        "image": image_url(row.pk, "image"),
        "page": reverse("admin:predictions_prediction_change", args=[row.pk]),
    }


def _claims(predictions: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What users said of each, the newest first."""
    said: dict[UUID, list[dict[str, Any]]] = {}
    for claim in Feedback.objects.filter(prediction__in=list(predictions)).select_related("label"):
        said.setdefault(claim.prediction_id, []).append(_claim(claim))
    return said


def _claim(claim: Feedback) -> dict[str, Any]:
    return {
        "id": claim.pk,
        "correct": claim.is_correct,
        "says": claim.label.name if claim.label else claim.claimed_label,
        "label": claim.label.key if claim.label else None,
    }
