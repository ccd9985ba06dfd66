"""A reviewer's verdict on an answer."""

from django.contrib.auth.models import User
from django.db import transaction

from recognizer.predictions.feedback import NotAnswered
from recognizer.predictions.models import Feedback, Prediction, Review
from recognizer.registry.models import Label


class WrongLabel(ValueError):
    """The label belongs to another model."""


def record(
    prediction: Prediction,
    *,
    verdict: Review.Verdict,
    reviewer: User,
    label: Label | None = None,
    via: Review.Via = Review.Via.ADMIN,
) -> Review:
    """Store a verdict. The newest one counts. Raises NotAnswered or WrongLabel."""
    with transaction.atomic():
        if not Prediction.objects.lock_answered(prediction):
            raise NotAnswered("Only an answered recognition can be reviewed.")
        return _record(prediction, verdict, reviewer=reviewer, label=label, via=via)


def _record(
    prediction: Prediction, verdict: Review.Verdict, *, reviewer: User, label: Label | None, via: Review.Via
) -> Review:
    if verdict == Review.Verdict.CONFIRMED and prediction.known is False:
        verdict = Review.Verdict.REJECTED  # the answer was "none of my classes", and that is what is confirmed
    if verdict == Review.Verdict.CONFIRMED:
        label = Label.objects.get(model=prediction.model_id, key=prediction.label)
    if label and label.model_id != prediction.model_id:
        raise WrongLabel(
            f"The label {label.key!r} belongs to the model {label.model.name!r}. Choose one of this model."
        )
    return Review.objects.create(
        prediction=prediction,
        verdict=verdict,
        label=None if verdict == Review.Verdict.REJECTED else label,
        previous_label=prediction.label,
        reviewer=reviewer,
        via=via,
    )


def approve(claim: Feedback, *, reviewer: User) -> Review:
    """Make a user's claim count. Raises NotAnswered, or WrongLabel when it names no label of the model."""
    if claim.is_correct:
        verdict = Review.Verdict.CONFIRMED
    elif claim.label is None:
        raise WrongLabel(f"The model has no label {claim.claimed_label!r}. Correct the recognition to a label instead.")
    else:
        verdict = Review.Verdict.CORRECTED
    return record(claim.prediction, verdict=verdict, reviewer=reviewer, label=claim.label, via=Review.Via.CLAIM)
