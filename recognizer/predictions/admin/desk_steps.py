"""What a reviewer did at the desk, each a call of one step. A refusal of one does not hold up the others."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from recognizer.predictions.admin.actions import REFUSALS
from recognizer.predictions.admin.desk_tiles import review_as_json
from recognizer.predictions.models import Feedback, Prediction, Review
from recognizer.predictions.review import JudgedMeanwhile, WrongLabel, approve, record, refuse, undo
from recognizer.registry.models import Label

GONE = "This recognition is not there any more."


class Gone(LookupError):
    """What the step is about was erased, or never was."""


def take_steps(steps: Sequence[dict[str, Any]], *, reviewer: User, via: Review.Via) -> list[dict[str, Any]]:
    """For each step whether it was done, the newest review by now, and why not."""
    rows = Prediction.objects.select_related("model").in_bulk([step["id"] for step in steps])
    return [_try(step, rows, reviewer=reviewer, via=via) for step in steps]


def _try(step: dict[str, Any], rows: dict[UUID, Prediction], *, reviewer: User, via: Review.Via) -> dict[str, Any]:
    told = {"id": str(step["id"]), "done": False, "seen": step["seen"]}
    try:
        if step["id"] not in rows:
            raise Gone(GONE)
        review = _STEPS[step["do"]](step, rows[step["id"]], reviewer, via)
    except JudgedMeanwhile as overtaken:
        theirs = overtaken.review
        return {**told, "seen": theirs.pk, "detail": str(overtaken), "review": _told(theirs)}
    except (Gone, *REFUSALS) as refusal:
        return {**told, "detail": str(refusal)}
    return {**told, "done": True, "seen": review.pk, "review": review_as_json(review)}


def _told(review: Review) -> dict[str, Any]:
    """Somebody's review, also when it took a verdict back."""
    who = review.reviewer.get_username() if review.reviewer else None
    return review_as_json(review) or {"verdict": review.verdict, "label": None, "name": None, "reviewer": who}


def _judge(step: dict[str, Any], row: Prediction, reviewer: User, via: Review.Via) -> Review:
    label = _label(row, step["label"]) if step["label"] else None
    verdict = Review.Verdict(step["verdict"])
    return record(row, verdict=verdict, reviewer=reviewer, label=label, via=via, seen=step["seen"])


def _label(row: Prediction, key: str) -> Label:
    label = Label.objects.filter(model=row.model_id, key=key).select_related("model").first()
    if label is None:
        raise WrongLabel(f"The model {row.model.name} has no label {key!r}. Choose one of this model.")
    return label


def _approve(step: dict[str, Any], row: Prediction, reviewer: User, via: Review.Via) -> Review:
    return approve(_claim(step, row), reviewer=reviewer, seen=step["seen"])


def _refuse(step: dict[str, Any], row: Prediction, reviewer: User, via: Review.Via) -> Review:
    return refuse(_claim(step, row), reviewer=reviewer, seen=step["seen"])


def _claim(step: dict[str, Any], row: Prediction) -> Feedback:
    claim = Feedback.objects.select_related("label", "prediction__model").filter(pk=step["claim"], prediction=row)
    if found := claim.first():
        return found
    raise Gone("This claim is not there any more.")


def _undo(step: dict[str, Any], row: Prediction, reviewer: User, via: Review.Via) -> Review:
    review = Review.objects.filter(pk=step["review"], prediction=row, reviewer=reviewer).first()
    if review is None:
        raise Gone("Only your own verdicts can be taken back here.")
    return undo(review, reviewer=reviewer, seen=step["seen"])


_STEPS = {"judge": _judge, "approve": _approve, "refuse": _refuse, "undo": _undo}
