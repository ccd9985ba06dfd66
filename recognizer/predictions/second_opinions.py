"""What versions on trial say about stored pictures: made by a worker that has nothing else to do."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.utils.timezone import localdate

from classifier_core.errors import ClassifierError
from recognizer.predictions.classify import MODEL_FAILED, Outcome, answer_images
from recognizer.predictions.models import Prediction, SecondOpinion, Trial, answer_of
from recognizer.predictions.trials import settled_until, waiting
from recognizer.registry import standby
from recognizer.registry.serving import ServingVersion

log = structlog.get_logger(__name__)

AT_ONCE = 16  # stored together; as many are passed over when a picture kills the worker
Asker = Callable[[], bool]


def give_second_opinions(*, until: float, is_busy: Asker) -> int:
    """Go on with each trial until time.monotonic() passes `until` or somebody waits for a live answer.

    Looks before each picture. Returns how many opinions were stored. Two at once are harmless.
    """
    trials = list(Trial.objects.running().select_related("version__model", "model"))
    standby.keep_only({trial.version_id for trial in trials})

    def may_go_on() -> bool:
        return time.monotonic() < until and not is_busy()

    return sum(_go_on(trial, may_go_on) for trial in trials)


def _go_on(trial: Trial, may_go_on: Asker) -> int:
    if trial.is_shadow and trial.model.desired_version() == trial.version:
        trial.end("It serves by now.")
        return 0
    version = _loaded(trial)
    settled, number = settled_until(trial), 0
    while version is not None and may_go_on():
        rows = list(waiting(trial, before=settled).select_related("image")[:AT_ONCE])
        if not rows:
            _rest(trial, settled)
            break
        done = _ask_about(rows, trial, version, may_go_on)
        number += done
        if done < len(rows):
            break
    return number


def _loaded(trial: Trial) -> ServingVersion | None:
    try:
        return standby.loaded(trial.version)
    except (ClassifierError, MemoryError) as error:
        log.exception("a version on trial does not load", version=str(trial.version))
        trial.end(f"It does not load: {str(error) or 'out of memory.'}")
    except OSError:
        log.exception("files of a version on trial cannot be read now, trying again soon", version=str(trial.version))
    return None


def _rest(trial: Trial, settled: datetime) -> None:
    """Nothing is left until then: a replay ends, a shadow need not look at the same times again."""
    if trial.until is not None:
        trial.end()
    elif trial.position_at < settled:
        trial.move(settled)


def _ask_about(rows: Sequence[Prediction], trial: Trial, version: ServingVersion, may_go_on: Asker) -> int:
    """Opinions on these, in order; how many there are when it was interrupted."""
    before = trial.position_at, trial.position_id
    if not trial.move(rows[-1].created_at, rows[-1].pk):
        return 0
    opinions: list[SecondOpinion] = []
    for row in rows:
        outcome = _ask(row, version) if may_go_on() else Outcome(row)
        if outcome.answer is None and outcome.error is None:  # busy, or the storage does not answer now
            break
        opinions.append(_opinion(outcome, trial))
    _store(opinions)
    done = len(opinions)
    here = (rows[done - 1].created_at, rows[done - 1].pk) if done else before
    trial.move(*here, passed=done)
    return done


def _ask(row: Prediction, version: ServingVersion) -> Outcome:
    row.blob_id = row.image.blob_id if row.image else None
    try:
        [outcome] = answer_images([row], version)
    except (ClassifierError, MemoryError):
        log.exception("a version on trial did not answer", version=str(version.row), prediction=str(row.pk))
        return Outcome(row, error=MODEL_FAILED)
    return outcome


def _opinion(outcome: Outcome, trial: Trial) -> SecondOpinion:
    row = outcome.prediction
    opinion = SecondOpinion(
        trial=trial, version=trial.version, prediction=row, live_answer=answer_of(row), day=localdate(row.created_at)
    )
    if outcome.answer is None:
        opinion.error = outcome.error[1] if outcome.error else ""
        return opinion
    for name in ("scores", "known", "engine", "device", "precision", "decode_ms", "inference_ms"):
        setattr(opinion, name, outcome.answer[name])
    opinion.label, opinion.score = opinion.scores[0]
    opinion.answer = answer_of(opinion)
    opinion.agrees = opinion.answer == opinion.live_answer
    return opinion


def _store(opinions: Sequence[SecondOpinion]) -> None:
    """Those whose recognition is still there: an erasure comes before or after."""
    with transaction.atomic():
        answered = Prediction.objects.filter(status=Prediction.Status.SUCCEEDED)
        rows = (
            answered.filter(pk__in=[one.prediction_id for one in opinions])
            .select_for_update(no_key=True)
            .order_by("pk")
        )
        alive = set(rows.values_list("pk", flat=True))
        SecondOpinion.objects.bulk_create(
            (one for one in opinions if one.prediction_id in alive), ignore_conflicts=True
        )
