"""Check the photos that a model would learn from now: what is wrong with them, and whether they are enough."""

import time
from collections.abc import Callable, Mapping

from django.db import transaction
from django.utils.functional import cached_property

from classifier_core.datasets.inspection import LABELS_CHECKED
from classifier_core.datasets.quality import held_out_scores
from classifier_core.errors import ClassifierError, DatasetInvalid
from classifier_core.learning_curve import LearningCurve, measure_curve
from recognizer.predictions.models import Blob
from recognizer.training import usefulness
from recognizer.training.checkup_models import CheckUp, Finding
from recognizer.training.findings import Findings, known_decisions
from recognizer.training.looking import Looking, lock_alive
from recognizer.training.models import LeaseLost
from recognizer.training.patients import Patients, find_patients
from recognizer.training.placing import places_of

ROWS = 1000  # written in one transaction: uploads go on in between
Say = Callable[[str], None]


def check(checkup: CheckUp, *, say: Say = lambda _: None) -> None:
    """Fill a check-up that was claimed: it ends ready, or failed with the reason. Raises LeaseLost."""
    try:
        _Checking(checkup, say).run()
    except (ClassifierError, OSError, MemoryError) as error:
        checkup.fail(str(error) or "This machine has too little memory for so many photos.")


class _Checking:
    """One attempt."""

    def __init__(self, checkup: CheckUp, say: Say) -> None:
        self._checkup, self._say, self._started = checkup, say, time.monotonic()
        self._model = checkup.model

    def run(self) -> None:
        self._progress("Reading labels")
        self._checkup.findings.all().delete()  # of an attempt that broke off
        if not self._patients.photos:
            raise DatasetInvalid("There is no photo to check. Import base photos, or review recognitions.")
        Looking(features=True).look_at([one.sha256 for one in self._patients.photos], self._progress)
        self._patients.load_looks()
        self._progress("Comparing photos")
        self._patients.group()
        said = self._check_labels()
        curve, problem = self._curve()
        self._store()
        self._finish(
            **said,
            curve=curve.to_dict() if curve else {},
            curve_problem=problem,
            review_next=usefulness.review_next(self._model, curve, self._patients.counts),
        )

    @cached_property
    def _patients(self) -> Patients:
        return find_patients(self._model)

    @cached_property
    def _findings(self) -> Findings:
        return Findings(self._checkup, self._patients, places_of(self._model))

    def _progress(self, words: str) -> None:
        self._say(words)
        if not self._checkup.renew(words):
            raise LeaseLost(f"{self._checkup} is not ours any more.")

    def _check_labels(self) -> Mapping[str, object]:
        self._progress("Checking labels")
        features, targets, _ = self._patients.with_features()
        try:
            scores = held_out_scores(features, targets, groups=self._patients.judging_groups())
        except DatasetInvalid as error:
            return {"labels_checked": str(error)}
        self._findings.scores = self._patients.by_sha256(scores)
        return {
            "labels_checked": LABELS_CHECKED,
            "held_out_accuracy": float((scores.argmax(1) == targets).mean()),
        }

    def _curve(self) -> tuple[LearningCurve | None, str]:
        """The curve, or why there is none."""
        features, targets, groups = self._patients.with_features()
        try:
            return measure_curve(features, targets, self._patients.labels, groups=groups, say=self._progress), ""
        except DatasetInvalid as error:
            return None, str(error)

    def _store(self) -> None:
        decided = known_decisions(self._model)
        rows = [row for row in self._findings.all() if not row.is_settled_by(decided)]
        for start in range(0, len(rows), ROWS):
            with transaction.atomic():
                self._progress(f"Writing findings: {start} of {len(rows)}")
                some = rows[start : start + ROWS]
                alive = lock_alive(Blob, {key for row in some for key in (row.blob_id, row.other_id) if key})
                Finding.objects.bulk_create(
                    row for row in some if row.blob_id in alive and (row.other_id is None or row.other_id in alive)
                )

    def _finish(self, **found: object) -> None:
        with transaction.atomic():
            # What nobody decided about is asked anew, or not at all.
            Finding.objects.open().filter(checkup__model=self._model, checkup__lt=self._checkup.pk).delete()
            is_ours = self._checkup.finish(
                num_photos=len(self._patients.photos),
                num_passed_over=self._patients.num_passed_over,
                seconds=round(time.monotonic() - self._started, 1),
                **found,
            )
            if not is_ours:
                raise LeaseLost(f"{self._checkup} is not ours any more.")
