"""A reviewer's verdict on an answer."""

from contextlib import suppress

from django.contrib.auth.models import User
from django.db import transaction

from recognizer.predictions.feedback import NotAnswered
from recognizer.predictions.models import Feedback, Prediction, Review
from recognizer.registry.models import Label
from recognizer.registry.taxonomy import current_label

NUM_RECENT = 5_000  # more than anybody judges while an upgrade takes place
NONE_YET = 0  # in place of a review's number: the reviewer has seen no review of the answer


class WrongLabel(ValueError):
    """The label belongs to another model, or is not used any more."""


class Overtaken(RuntimeError):
    """What this person decides about has changed since they looked at it."""


class JudgedMeanwhile(Overtaken):
    """Somebody has judged the answer since this reviewer looked at it. `review` is theirs, the newest."""

    def __init__(self, review: Review) -> None:
        self.review = review
        who = review.reviewer.get_username() if review.reviewer else "somebody"
        super().__init__(f"{who} was here meanwhile: {review}. Look again before you decide.")


def record(
    prediction: Prediction,
    *,
    verdict: Review.Verdict,
    reviewer: User,
    label: Label | None = None,
    via: Review.Via = Review.Via.ADMIN,
    seen: int | None = None,
) -> Review:
    """Store a verdict. The newest one counts. A merged label counts as the one it was merged into.

    `seen` is the number of the newest review that the reviewer knew of, NONE_YET for none; without it the verdict
    stands whatever others said. Raises NotAnswered, WrongLabel or JudgedMeanwhile.
    """
    with transaction.atomic():
        newest = _lock(prediction, seen)
        verdict, label = _settled(prediction, verdict, label)
        return _write(prediction, newest, verdict=verdict, label=label, reviewer=reviewer, via=via)


def undo(review: Review, *, reviewer: User, seen: int) -> Review:
    """Take back a verdict, with one more row: what counted before it counts again, or nothing does.

    `seen` is the newest review that the reviewer knows of. Raises NotAnswered or JudgedMeanwhile.
    """
    with transaction.atomic():
        newest = _lock(review.prediction, seen)
        before = Review.objects.filter(prediction=review.prediction_id, pk__lt=review.pk).first()
        verdict = Review.Verdict(before.verdict) if before else Review.Verdict.WITHDRAWN
        label = before.label if before else None
        via = Review.Via.DESK
        return _write(review.prediction, newest, verdict=verdict, label=label, reviewer=reviewer, via=via)


def approve(claim: Feedback, *, reviewer: User, seen: int | None = None) -> Review:
    """Make a user's claim count. Raises as `record` does; WrongLabel also when it names no label of the model."""
    if claim.is_correct:
        verdict = Review.Verdict.CONFIRMED
    elif claim.label is None:
        raise WrongLabel(f"The model has no label {claim.claimed_label!r}. Correct the recognition to a label instead.")
    else:
        verdict = Review.Verdict.CORRECTED
    via = Review.Via.CLAIM
    return record(claim.prediction, verdict=verdict, reviewer=reviewer, label=claim.label, via=via, seen=seen)


def refuse(claim: Feedback, *, reviewer: User, seen: int | None = None) -> Review:
    """Judge against a user's claim: the answer it calls wrong is confirmed, the one it calls right is rejected."""
    verdict = Review.Verdict.REJECTED if claim.is_correct else Review.Verdict.CONFIRMED
    return record(claim.prediction, verdict=verdict, reviewer=reviewer, via=Review.Via.DESK, seen=seen)


def _lock(prediction: Prediction, seen: int | None) -> Review | None:
    """The newest review, which stays the newest until the transaction ends."""
    if not Prediction.objects.lock_answered(prediction):
        raise NotAnswered("Only an answered recognition can be reviewed.")
    newest = Review.objects.filter(prediction=prediction).select_related("label", "reviewer").first()
    if seen is not None and newest is not None and newest.pk != seen:
        raise JudgedMeanwhile(newest)
    return newest


def repeat_verdicts() -> int:
    """Write the verdict beside answers that do not repeat that of their newest review; gives how many there were.

    The web of before, which knows no such copy, still answers while an upgrade brings the tables up to date. Only the
    last NUM_RECENT reviews are looked at: this runs each minute.
    """
    newest = Review.objects.first()
    recent = Review.objects.filter(pk__gt=newest.pk - NUM_RECENT if newest else 0)
    reviews = list(recent.not_repeated().order_by().select_related("prediction"))
    for review in reviews:
        with suppress(NotAnswered), transaction.atomic():
            last = _lock(review.prediction, seen=None)
            Prediction.objects.filter(pk=review.prediction_id).update(verdict=last.counted_verdict if last else None)
    return len(reviews)


def _settled(
    prediction: Prediction, verdict: Review.Verdict, label: Label | None
) -> tuple[Review.Verdict, Label | None]:
    """What the verdict comes to, with the label that counts."""
    if verdict == Review.Verdict.CONFIRMED and prediction.known is False:
        verdict = Review.Verdict.REJECTED  # the answer was "none of my classes", and that is what is confirmed
    if verdict in (Review.Verdict.REJECTED, Review.Verdict.WITHDRAWN):
        return verdict, None
    if verdict == Review.Verdict.CONFIRMED:
        label = Label.objects.get(model=prediction.model_id, key=prediction.label)
    if label is None:
        raise WrongLabel("A correction needs a label. Choose what the picture shows.")
    return verdict, _usable(current_label(label), prediction)


def _usable(label: Label, prediction: Prediction) -> Label:
    if label.model_id != prediction.model_id:
        raise WrongLabel(
            f"The label {label.key!r} belongs to the model {label.model.name!r}. Choose one of this model."
        )
    if label.retired_at:
        raise WrongLabel(f"The label {label.key!r} is retired. Choose another one, or bring it back.")
    return label


def _write(
    prediction: Prediction,
    newest: Review | None,
    *,
    verdict: Review.Verdict,
    label: Label | None,
    reviewer: User,
    via: Review.Via,
) -> Review:
    review = Review.objects.create(
        prediction=prediction,
        verdict=verdict,
        label=label,
        previous_label=_counted_before(prediction, newest),
        reviewer=reviewer,
        via=via,
    )
    # The row is locked since `_lock`: the last review and this copy of it change together, or neither does.
    Prediction.objects.filter(pk=prediction.pk).update(verdict=review.counted_verdict)
    return review


def _counted_before(prediction: Prediction, newest: Review | None) -> str:
    """The key of the label that counted until now: the model's where no review does."""
    if newest is None or newest.verdict == Review.Verdict.WITHDRAWN:
        return prediction.label
    return newest.label.key if newest.label else ""
