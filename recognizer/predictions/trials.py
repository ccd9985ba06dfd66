"""Put a version on trial, and end that. Workers give its opinions: `second_opinions.py`."""

import math
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.timezone import now

from recognizer.predictions.models import Prediction, PredictionQuerySet, SecondOpinion, Trial
from recognizer.registry.models import ModelVersion

MAX_REPLAYED = 1_000_000
# A shadow stays so far behind: an upload may be stored a moment later than its time says.
SHADOW_DELAY = timedelta(seconds=5)


class TrialRefused(RuntimeError):
    """There is nothing to try, or it is tried already."""


@dataclass(frozen=True)
class Selection:
    """Which past recognitions: the newest `number` of those that fit."""

    number: int = 1000
    only_reviewed: bool = False
    label: str = ""  # key of the live answer


def start_shadow(version: ModelVersion, *, share: float, by: User | None) -> Trial:
    """From now on the version gives a second opinion on this share of its model's recognitions. Raises TrialRefused."""
    if not 0 < share <= 1:
        raise TrialRefused("The share is more than 0 and at most 1: 0.1 is every tenth recognition.")
    if version.model.desired_version() == version:
        raise TrialRefused(f"{version} serves: it answers by itself. Choose another version.")
    at = now()
    asked = {"kind": Trial.Kind.SHADOW, "share": share, "since": at, "position_at": at}
    try:
        with transaction.atomic():
            return Trial.objects.create(model=version.model, version=version, created_by=by, **asked)
    except IntegrityError:
        running = Trial.objects.running().filter(model=version.model, kind=Trial.Kind.SHADOW).first()
        words = f"{running.version} is the shadow of {version.model} already." if running else "Try once more."
        raise TrialRefused(f"{words} Stop that first: a model has one shadow at a time.") from None


def ask_for_replay(version: ModelVersion, selection: Selection, *, by: User | None) -> Trial:
    """Let the version answer past recognitions once more. Raises TrialRefused, also when none fits."""
    if not 0 < selection.number <= MAX_REPLAYED:
        raise TrialRefused(f"Choose between 1 and {MAX_REPLAYED:,} recognitions.")
    if Trial.objects.running().filter(version=version, kind=Trial.Kind.REPLAY).exists():
        raise TrialRefused(f"A replay of {version} runs already. Wait for its end, or stop it.")
    trial = Trial(model=version.model, version=version, kind=Trial.Kind.REPLAY, created_by=by, until=now())
    trial.only_reviewed, trial.label = selection.only_reviewed, selection.label
    newest = _fitting(trial).order_by("-created_at", "-pk").values_list("created_at", flat=True)
    trial.num_wanted = newest[: selection.number].count()
    if not trial.num_wanted:
        raise TrialRefused("No recognition fits, or all that do have its opinion or its own answer already.")
    trial.since = trial.position_at = newest[trial.num_wanted - 1]
    trial.save()
    return trial


def waiting(trial: Trial, *, before: datetime) -> QuerySet[Prediction]:
    """The recognitions uploaded until then that it is asked about next, in this order."""
    at = trial.position_at
    after = Q(created_at__gt=at) | Q(created_at=at, pk__gt=trial.position_id)
    rows = _fitting(trial).filter(after, created_at__gte=at, created_at__lt=before)
    return rows.order_by("created_at", "pk")


def settled_until(trial: Trial) -> datetime:
    """What was uploaded before this has its answer or a failure, as far as the trial is concerned."""
    if trial.until is not None:
        return trial.until + timedelta(microseconds=1)
    unfinished = (Prediction.Status.PENDING, Prediction.Status.RUNNING)
    rows = Prediction.objects.filter(model=trial.model_id, status__in=unfinished, created_at__gte=trial.position_at)
    oldest = rows.order_by("created_at").values_list("created_at", flat=True).first()
    latest = now() - SHADOW_DELAY
    return min(oldest, latest) if oldest else latest


def _fitting(trial: Trial) -> PredictionQuerySet:
    """Answers of other versions that were asked for and have no opinion of this one yet."""
    opinions = SecondOpinion.objects.filter(prediction=OuterRef("pk"), version=trial.version_id)
    answered = Prediction.objects.filter(model=trial.model_id, status=Prediction.Status.SUCCEEDED)
    rows = answered.exclude(version=trial.version_id).filter(~Exists(opinions))
    if trial.until is not None:
        rows = rows.filter(created_at__lte=trial.until)
    if trial.share < 1:
        rows = rows.filter(pk__lt=first_id_beyond(trial.share))
    if trial.label:
        rows = rows.filter(label=trial.label)
    if trial.only_reviewed:
        rows = rows.reviewed()
    return rows


def first_id_beyond(share: float) -> uuid.UUID:
    """Ids are random, so this share of them is below: the same recognitions each time, and all of a smaller share."""
    return uuid.UUID(int=min(math.floor(share * 2**128), 2**128 - 1))
