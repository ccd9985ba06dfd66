"""What could be in a snapshot: base photos, and uploads by their newest review."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from uuid import UUID

from recognizer.predictions.models import Prediction, Review
from recognizer.registry.models import Label, RegisteredModel
from recognizer.training.checkup_models import PhotoDecision
from recognizer.training.models import BasePhoto, SnapshotItem
from recognizer.training.options import SnapshotOptions

Source = SnapshotItem.Source

# Why a photo is not in a snapshot, as the page says it.
REASONS = {
    "not_allowed": "The owner did not allow training.",
    "rejected": "A reviewer said: none of the classes.",
    "unlabelled": "The review names no label.",
    "retired": "The class is retired.",
    "taken_out": "Somebody took it out, at a check-up.",
    "not_chosen": "From a source or a time that was not asked for.",
    "conflict": "Copies of one photo have different labels.",
    "copy": "A copy of a photo that is in: re-saved, resized, mirrored, turned or cropped a little.",
    "bridge": "Resembles photos of two parts, or is too small to tell whether it is a copy of a test photo.",
    "over_uploader_cap": "Its uploader has as many photos of the class as one may have.",
    "over_class_cap": "The class has as many photos as one may have.",
    "unreadable": "It cannot be read.",
    "missing": "Its file is gone.",
}


@dataclass(frozen=True)
class Candidate:
    """One base photo or reviewed upload: the bytes, and what somebody who may say so says they show."""

    sha256: str
    label: str  # key; empty: none of the classes
    source: Source
    image: UUID | None = None
    prediction: UUID | None = None
    review: int | None = None
    uploader: str = ""
    uploaded_at: datetime | None = None

    def is_chosen(self, options: SnapshotOptions) -> bool:
        """Whether it was asked for."""
        if self.source == Source.BASE:
            return options.base_photos
        since, until = options.moments()
        at = self.uploaded_at
        return options.reviews and at is not None and (not since or at >= since) and (not until or at < until)


@dataclass
class Candidates:
    """Those that may be in, by their bytes, and why the others are not."""

    by_sha256: dict[str, Candidate] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)  # by reason
    why: dict[str, str] = field(default_factory=dict)  # reason, of bytes that are not in

    def leave_out(self, sha256: str, reason: str) -> None:
        """Take one out."""
        del self.by_sha256[sha256]
        self.why[sha256] = reason
        self.left_out[reason] += 1


def find_candidates(model: RegisteredModel, options: SnapshotOptions, *, in_test: set[str]) -> Candidates:
    """One candidate for each distinct file, in a few queries. `in_test`: the SHA-256 of the model's test photos.

    A test photo is there whatever was chosen, so that all snapshots are judged by the same ones; where opinions about
    its bytes differ, the first upload's stands.
    """
    found = Candidates()
    said: dict[str, list[Candidate]] = defaultdict(list)
    for candidate, reason in opinions_of(model):
        if reason:
            found.left_out[reason] += 1
            found.why[candidate.sha256] = reason
        else:
            said[candidate.sha256].append(candidate)
    for sha256, opinions in said.items():
        _settle(found, opinions, options, is_in_test=sha256 in in_test)
    return found


def opinions_of(model: RegisteredModel) -> Iterator[tuple[Candidate, str]]:
    """What base photos and reviews say, base photos first; each with the reason for which it does not count, if any."""
    taken_out = PhotoDecision.objects.taken_out(model)
    for candidate, reason in chain(_base_photos(model), _reviewed(model)):
        yield candidate, reason or ("taken_out" if candidate.sha256 in taken_out else "")


def _settle(found: Candidates, opinions: list[Candidate], options: SnapshotOptions, *, is_in_test: bool) -> None:
    sha256 = opinions[0].sha256
    chosen = [one for one in opinions if is_in_test or one.is_chosen(options)]
    found.left_out["not_chosen"] += len(opinions) - len(chosen)
    agreeing = [one for one in chosen if one.label == opinions[0].label]
    if not chosen:
        found.why[sha256] = "not_chosen"
    elif len({one.label for one in opinions}) > 1 and not is_in_test:
        found.left_out["conflict"] += len(chosen)
        found.why[sha256] = "conflict"
    elif not opinions[0].label:
        found.left_out["rejected"] += len(agreeing)
        found.left_out["conflict"] += len(chosen) - len(agreeing)
        found.why[sha256] = "rejected"
    else:
        found.by_sha256[sha256] = agreeing[0]
        found.left_out["copy"] += len(agreeing) - 1
        found.left_out["conflict"] += len(chosen) - len(agreeing)


def _base_photos(model: RegisteredModel) -> Iterator[tuple[Candidate, str]]:
    labels = current_labels(model)
    rows = BasePhoto.objects.filter(model=model).order_by("pk").values_list("blob_id", "label_id")
    for sha256, label in rows.iterator():
        yield Candidate(sha256, labels[label], Source.BASE), "" if labels[label] else "retired"


def _reviewed(model: RegisteredModel) -> Iterator[tuple[Candidate, str]]:
    """Uploads with a review, the oldest first."""
    labels = current_labels(model)
    answered = {"prediction__model": model, "prediction__status": Prediction.Status.SUCCEEDED}
    rows = Review.objects.newest().filter(**answered).order_by("prediction__created_at", "prediction_id")
    for row in rows.values_list(*_COLUMNS).iterator():
        review, verdict, label, prediction, image, sha256, is_allowed, user, visitor, uploaded_at = row
        key = labels.get(label, "") if verdict != Review.Verdict.REJECTED else ""
        who = _uploader(user, visitor)
        yield (
            Candidate(sha256, key, Source.REVIEW, image, prediction, review, who, uploaded_at),
            _refusal(verdict, label, key, is_allowed=is_allowed),
        )


_COLUMNS = (
    *("pk", "verdict", "label_id", "prediction_id", "prediction__image_id", "prediction__image__blob_id"),
    *("prediction__image__train_allowed", "prediction__user_id", "prediction__visitor", "prediction__created_at"),
)


def _refusal(verdict: str, label: int | None, key: str, *, is_allowed: bool) -> str:
    if not is_allowed:
        return "not_allowed"
    if verdict == Review.Verdict.REJECTED:
        return ""  # an opinion, too: it may contradict another about the same bytes
    if label is None:
        return "unlabelled"
    return "" if key else "retired"


def current_labels(model: RegisteredModel) -> dict[int, str]:
    """By the id of a label, the key of the label that it is now; empty for one that is retired."""
    rows: dict[int | None, Label] = {label.pk: label for label in Label.objects.filter(model=model)}
    return {label.pk: _current(label, rows) for label in rows.values()}


def _current(label: Label, rows: Mapping[int | None, Label]) -> str:
    seen: set[int] = set()
    while label.retired_at is None and label.merged_into_id in rows and label.pk not in seen:
        seen.add(label.pk)
        label = rows[label.merged_into_id]
    return "" if label.retired_at else label.key


def _uploader(user: int | None, visitor: UUID | None) -> str:
    if user is not None:
        return f"user:{user}"
    # Enough to tell one from another, too little to sign in as one.
    return f"visitor:{hashlib.sha256(visitor.bytes).hexdigest()[:16]}" if visitor else ""


def capped(candidates: Iterable[Candidate], options: SnapshotOptions, *, exempt: set[str]) -> dict[str, str]:
    """Which of these are over a cap, and over which: the same ones for the same photos and seed."""
    over: dict[str, str] = {}
    of_uploader: Counter[tuple[str, str]] = Counter()
    of_class: Counter[str] = Counter()
    for one in sorted(candidates, key=lambda one: _lot(one.sha256, options.seed)):
        whose = (one.label, one.uploader)
        if options.max_per_uploader and one.uploader and of_uploader[whose] >= options.max_per_uploader:
            over[one.sha256] = "over_uploader_cap"
        elif options.max_per_class and of_class[one.label] >= options.max_per_class:
            over[one.sha256] = "over_class_cap"
        if one.sha256 in exempt or one.sha256 not in over:
            of_uploader[whose] += 1
            of_class[one.label] += 1
    return {sha256: reason for sha256, reason in over.items() if sha256 not in exempt}


def _lot(sha256: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {sha256}".encode()).digest()
