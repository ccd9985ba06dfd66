"""A user's claim about an answer."""

from django.db import transaction
from django.db.models import Q

from recognizer.predictions.models import Feedback, Owner, Prediction
from recognizer.registry.models import Label

MAX_CLAIMS = 20  # of one person about one answer; more would bury the reviewer


class NotAnswered(RuntimeError):
    """Only an answer can be right or wrong."""


class TooManyClaims(RuntimeError):
    """One person has said enough about one answer."""


def claim(prediction: Prediction, *, owner: Owner, is_correct: bool, claimed_label: str = "") -> Feedback:
    """Store what the user says. A reviewer decides whether it counts. Raises NotAnswered or TooManyClaims."""
    with transaction.atomic():
        if not Prediction.objects.lock_answered(prediction):
            raise NotAnswered("There is no answer to judge yet, or it was erased. Look at the status.")
        if prediction.feedback.filter(user=owner.user, visitor=owner.visitor).count() >= MAX_CLAIMS:
            raise TooManyClaims(f"You have judged this answer {MAX_CLAIMS} times. A reviewer will look at it.")
        return Feedback.objects.create(
            prediction=prediction,
            user=owner.user,
            visitor=owner.visitor,
            is_correct=is_correct,
            claimed_label=claimed_label,
            label=_meant(prediction, claimed_label) if claimed_label else None,
        )


def _meant(prediction: Prediction, words: str) -> Label | None:
    """The label whose key or display name the user wrote, in any language."""
    spelled = Q(key__iexact=words) | Q(names__en__iexact=words) | Q(names__zh__iexact=words)
    return Label.objects.in_use().filter(spelled, model=prediction.model_id).first()
