"""What people do about the findings of a check-up. Nothing is forgotten: each decision is a row."""

from collections.abc import Callable

from django.contrib.auth.models import User
from django.db import transaction

from recognizer.predictions.models import Prediction, Review
from recognizer.predictions.review import Overtaken, record
from recognizer.registry.models import Label, RegisteredModel
from recognizer.training.candidates import current_labels
from recognizer.training.checkup_models import Finding, PhotoDecision
from recognizer.training.models import BasePhoto

Kind = Finding.Kind
Resolution = Finding.Resolution
What = PhotoDecision.What


class NotUndoable(ValueError):
    """There is no one state to go back to."""


def fix(finding: Finding, *, by: User) -> None:
    """Do what the finding suggests: give the photo its likely label, or take it out. Raises Overtaken.

    A base photo is relabelled; a recognition gets one more review. Taken out, a photo is in no later snapshot.
    """
    with transaction.atomic():
        if not finding.resolve(Resolution.FIXED, by=by):
            raise Overtaken("Somebody has decided about this photo already.")
        _FIXES[Kind(finding.kind)](finding, by)


def dismiss(finding: Finding, *, by: User) -> None:
    """Say that it is right: no later check-up asks again, while the labels stay. Raises Overtaken."""
    if not finding.resolve(Resolution.DISMISSED, by=by):
        raise Overtaken("Somebody has decided about this photo already.")


def undo(finding: Finding, *, by: User) -> None:
    """Take a decision back, with one more row where one was written. Raises Overtaken, NotUndoable."""
    if not is_undoable(finding):
        raise NotUndoable("Two photos got one label. Change their labels one by one instead.")
    was = finding.resolution
    with transaction.atomic():
        if not was or not finding.reopen():
            raise Overtaken("It is open already.")
        if was == Resolution.FIXED:
            _take_back(finding, by)


def is_undoable(finding: Finding) -> bool:
    """Whether there is one state to go back to."""
    return not (finding.kind == Kind.CONFLICT and finding.resolution == Resolution.FIXED)


def _take_back(finding: Finding, by: User) -> None:
    if finding.kind == Kind.LABEL:
        relabel(finding, finding.blob_id, before=finding.likely, after=finding.label, by=by)
    else:
        _decide(finding, What.PUT_BACK, by)


def _settle_labels(finding: Finding, by: User) -> None:
    """Two labels of one photo, or of two copies, become one."""
    said = [(finding.blob_id, finding.label), (finding.other_id or finding.blob_id, finding.other_label)]
    for sha256, label in said:
        if label != finding.likely:
            relabel(finding, sha256, before=label, after=finding.likely, by=by)


def _correct_label(finding: Finding, by: User) -> None:
    relabel(finding, finding.blob_id, before=finding.label, after=finding.likely, by=by)


def _take_out(finding: Finding, by: User) -> None:
    _decide(finding, What.TAKEN_OUT, by)


_FIXES: dict[Kind, Callable[[Finding, User], None]] = {
    Kind.LABEL: _correct_label,
    Kind.CONFLICT: _settle_labels,
    Kind.LEAK: _take_out,
    Kind.COPY: _take_out,
    Kind.BLURRED: _take_out,
    Kind.TINY: _take_out,
    Kind.UNREADABLE: _take_out,
}


def relabel(finding: Finding, sha256: str, *, before: str, after: str, by: User) -> None:
    """Whatever called the photo `before` calls it `after` from now on. Raises Overtaken when nothing does."""
    model = finding.checkup.model
    label = Label.objects.filter(model=model, key=after, merged_into=None, retired_at=None).first()
    if label is None:
        raise Overtaken(f"{model.name} has no label {after!r} any more. Check the photos again.")
    changed = _relabel_base_photo(model, sha256, before=before, label=label, by=by)
    changed += _correct_recognitions(model, sha256, before=before, label=label, by=by)
    if not changed:
        raise Overtaken(f"The photo is not labelled {before!r} any more. Check the photos again.")


def _relabel_base_photo(model: RegisteredModel, sha256: str, *, before: str, label: Label, by: User) -> int:
    # One UPDATE that names the old label: of two people only one relabels.
    named = BasePhoto.objects.filter(model=model, blob=sha256, label__in=_labels_counting_as(model, before))
    changed = named.update(label=label)
    if changed:
        PhotoDecision.objects.create(
            model=model,
            blob_sha256=sha256,
            what=What.RELABELLED,
            previous_label=before,
            label=label.key,
            decided_by=by,
        )
    return changed


def _correct_recognitions(model: RegisteredModel, sha256: str, *, before: str, label: Label, by: User) -> int:
    reviews = Review.objects.newest().filter(
        prediction__model=model,
        prediction__image__blob=sha256,
        prediction__status=Prediction.Status.SUCCEEDED,
        label__in=_labels_counting_as(model, before),
    )
    found = list(reviews.select_related("prediction"))
    for newest in found:
        _correct_recognition(newest, label, by)
    return len(found)


def _correct_recognition(newest: Review, label: Label, by: User) -> None:
    answer = newest.prediction
    # Confirming "none of my classes" would reject it.
    is_right = answer.label == label.key and answer.known is not False
    verdict = Review.Verdict.CONFIRMED if is_right else Review.Verdict.CORRECTED
    record(answer, verdict=verdict, reviewer=by, label=label, seen=newest.pk)


def _labels_counting_as(model: RegisteredModel, key: str) -> list[int]:
    """The labels of this key, and those merged into it."""
    return [number for number, current in current_labels(model).items() if current == key]


def _decide(finding: Finding, what: PhotoDecision.What, by: User) -> None:
    PhotoDecision.objects.create(
        model=finding.checkup.model,
        blob_sha256=finding.blob_id,
        what=what,
        previous_label=finding.label,
        decided_by=by,
    )
