"""How one value of a recognition looks in a list."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.admin import display
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from recognizer.predictions.models import Feedback, Prediction, Review
from recognizer.predictions.presentation import has_picture

# Tones of admin.css.
STATUS_TONES = {
    Prediction.Status.PENDING: "wait",
    Prediction.Status.RUNNING: "wait",
    Prediction.Status.SUCCEEDED: "good",
    Prediction.Status.FAILED: "bad",
    Prediction.Status.ERASED: "gone",
}
VERDICT_TONES = {
    Review.Verdict.CONFIRMED: "good",
    Review.Verdict.CORRECTED: "wait",
    Review.Verdict.REJECTED: "bad",
    Review.Verdict.WITHDRAWN: "gone",
}
BAR = (
    '<span class="rz-score"><svg class="rz-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
    '<rect width="{}" height="6" /></svg>{}</span>'
)
NO_PICTURE = SafeString('<span class="rz-thumb rz-empty" aria-hidden="true"></span>')


def chip(text: str, tone: str) -> SafeString:
    """A short word on a coloured ground."""
    return format_html('<span class="rz-chip rz-{}">{}</span>', tone, text)


def status_chip(prediction: Prediction) -> SafeString:
    return chip(prediction.status, STATUS_TONES[Prediction.Status(prediction.status)])


def counting(last: Sequence[Review]) -> Review | None:
    """The review that counts, of a prediction's last one: none where that takes the verdict back."""
    return next((review for review in last if review.counted_verdict), None)


def verdict_chip(review: Review | None) -> SafeString | str:
    """The verdict, with the label it was corrected to."""
    if review is None:
        return ""
    tone = VERDICT_TONES[Review.Verdict(review.verdict)]
    if review.verdict == Review.Verdict.CORRECTED and review.label:
        return chip(f"→ {review.label.name}", tone)
    return chip(review.verdict, tone)


def thumbnail(prediction: Prediction) -> SafeString:
    """The small picture; an empty frame when there is none (any more)."""
    if not has_picture(prediction):
        return NO_PICTURE
    source = reverse("api:prediction-thumbnail", args=[prediction.pk])
    return format_html('<img class="rz-thumb" src="{}" alt="" loading="lazy" width="56" height="42">', source)


def score_bar(score: float | None) -> SafeString | str:
    if score is None:
        return ""
    return format_html(BAR, f"{score * 100:.1f}", f"{score:.1%}")


def owner(row: Any) -> SafeString | str:
    """Who uploaded or said it: the user's name, or that it was a visitor, or nobody (any more)."""
    if row.user is not None:
        return str(row.user.get_username())
    return format_html('<span class="rz-quiet">{}</span>', "visitor" if row.visitor else "nobody")


def moment(at: datetime) -> SafeString:
    """Day and minute where the server is, the exact time for machines and on hover."""
    shown = localtime(at).strftime("%Y-%m-%d %H:%M")
    return format_html('<time class="rz-nowrap" datetime="{0}" title="{0}">{1}</time>', at.isoformat(), shown)


class MomentCell:
    """When a row was written."""

    @display(description="When", ordering="created_at")
    def when(self, row: Any) -> SafeString:
        return moment(row.created_at)


class ClaimCells(MomentCell):
    """The columns of what people say, in a list and beside a recognition."""

    @display(description="Says")
    def says(self, claim: Feedback) -> str:
        return str(claim)

    @display(description="Who")
    def who(self, claim: Feedback) -> SafeString | str:
        return owner(claim)
