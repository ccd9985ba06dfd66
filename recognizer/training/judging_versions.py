"""Judge a candidate against what serves: both on the newest test part, under today's labels."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from classifier_core.errors import ClassifierError, DatasetInvalid
from classifier_core.side_by_side import Said, side_by_side
from recognizer.registry.models import Judgement, ModelVersion, RegisteredModel, TestState
from recognizer.registry.rules import Limits, apply_rules, has_passed
from recognizer.training.candidates import current_labels
from recognizer.training.contest import Contender, answer_all, enter_both, load_apart, time_in_turn
from recognizer.training.looking import lock_alive
from recognizer.training.models import DatasetSnapshot, Judging, LeaseLost, Part, SnapshotItem
from recognizer.training.unseen import find_learned

MAX_FLIPPED = 60  # photos kept, of each direction
RENEW_SECONDS = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class TestPhoto:
    """A photo of the test part, under its current label."""

    __test__ = False  # no test case for pytest

    item: int  # SnapshotItem
    sha256: str
    label: str
    group: int


@dataclass(frozen=True)
class TestPart:
    """The photos that both are judged on, and how many are left out, by reason."""

    __test__ = False

    state: TestState
    photos: list[TestPhoto]
    left_out: dict[str, int]
    labels: frozenset[str]  # that the snapshot names, retired and merged ones too


def limits() -> Limits:
    """What the settings allow a candidate to lose."""
    return Limits(
        margin=settings.RECOGNIZER_GATE_MARGIN,
        class_margin=settings.RECOGNIZER_GATE_CLASS_MARGIN,
        class_photos=settings.RECOGNIZER_GATE_CLASS_PHOTOS,
        latency=settings.RECOGNIZER_GATE_LATENCY,
    )


def judge(judging: Judging, *, say: Say = lambda _: None) -> None:
    """Measure what was asked for and claimed: it ends ready with a judgement, or failed with the reason.

    Raises LeaseLost.
    """
    try:
        serving = judging.against or judging.candidate.model.desired_version()
        row = _Measuring(judging, say).run(judging.candidate, serving)
    except (ClassifierError, OSError, MemoryError) as error:
        judging.fail(str(error) or "This machine has too little memory for both versions.")
        return
    with transaction.atomic():
        row.flipped = without_erased(row.flipped)
        row.save()
        if not judging.finish(judgement=row):
            raise LeaseLost(f"The {judging} is not ours any more.")


class _Measuring:
    """One attempt at one judging."""

    def __init__(self, judging: Judging, say: Say) -> None:
        self._judging, self._say = judging, say
        self._renewed_at = 0.0

    def run(self, candidate: ModelVersion, serving: ModelVersion | None) -> Judgement:
        """The judgement, not saved yet. Raises ClassifierError, StorageUnavailable, LeaseLost."""
        if serving is None:
            raise ClassifierError(
                f"Nothing of {candidate.model.name} serves, so there is nothing to be judged against."
            )
        if serving == candidate:
            raise ClassifierError(f"{candidate} serves already. Judge another version.")
        if serving.model_id != candidate.model_id:
            raise ClassifierError(f"{candidate} and {serving} are versions of different models.")
        all_labels = candidate.model.labels.all()
        before = all_labels.state_sha256()
        part = find_test_part(candidate.model)
        self._progress("Loading both versions", now=True)
        contenders = enter_both(candidate, serving, current_keys(candidate.model))
        counted = counted_labels(candidate.model, part.labels.union(*(one.keys for one in contenders.values())))
        labels_sha256 = all_labels.filter(key__in=counted).state_sha256()  # what changes of these outdates us
        if all_labels.all().state_sha256() != before:
            raise ClassifierError("Labels were merged or retired at this moment. Judge it again.")
        figures, flipped = self._measure(contenders, part)
        figures["labels"] = counted
        rules = apply_rules(figures, limits())
        return Judgement(
            candidate=candidate,
            serving=serving,
            test_state=part.state,
            labels_sha256=labels_sha256,
            passed=has_passed(rules),
            rules=[rule.to_dict() for rule in rules],
            limits=vars(limits()),
            figures=figures,
            flipped=flipped,
            created_by=self._judging.created_by,
        )

    def _measure(self, contenders: dict[str, Contender], part: TestPart) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        numbers, said = answer_all(contenders, [photo.sha256 for photo in part.photos], progress=self._progress)
        photos = [part.photos[number] for number in numbers]
        hashes = [photo.sha256 for photo in photos]
        self._progress("Comparing", now=True)
        figures = side_by_side([photo.label for photo in photos], [photo.group for photo in photos], **said)
        self._progress("Timing both versions", now=True)
        latency = time_in_turn(contenders, hashes)
        self._progress("Loading the candidate in a fresh process", now=True)
        unreadable = {"unreadable": len(part.photos) - len(photos)} if len(photos) < len(part.photos) else {}
        return {
            **figures,
            "left_out": part.left_out | unreadable,
            "engines": {name: str(one.classifier.engine.spec) for name, one in contenders.items()},
            "latency_ms": latency,
            "parity": contenders["candidate"].row.parity,
            "separate_process": load_apart(contenders["candidate"], hashes),
            "learned": find_learned({name: one.row for name, one in contenders.items()}, hashes),
        }, find_flipped(photos, **said)

    def _progress(self, words: str, *, now: bool = False) -> None:
        self._say(words)
        if not now and time.monotonic() - self._renewed_at < RENEW_SECONDS:
            return
        if not self._judging.renew(words):
            raise LeaseLost(f"The {self._judging} is not ours any more.")
        self._renewed_at = time.monotonic()


def find_test_part(model: RegisteredModel) -> TestPart:
    """The newest state of the test part, each photo under its current label; those of retired labels are left out.

    Raises DatasetInvalid when there is none.
    """
    state = TestState.objects.filter(model=model).first()
    snapshot = DatasetSnapshot.objects.ready().filter(test_state=state).first() if state else None
    if state is None or snapshot is None:
        raise DatasetInvalid(f"There are no test photos of {model.name}. Freeze a data set of it first.")
    current = current_keys(model)
    items = snapshot.items.filter(part=Part.TEST)
    rows = items.alive().order_by("pk").values_list("pk", "blob_id", "label", "group")
    found = [TestPhoto(pk, str(sha256), current.get(label, label), group) for pk, sha256, label, group in rows]
    photos = [photo for photo in found if photo.label]
    left_out = {"retired": len(found) - len(photos), "erased": items.exclude(erased_at=None).count()}
    if not photos:
        raise DatasetInvalid(f"The test part of {model.name} has no photo left. Freeze a data set of it again.")
    named = frozenset(label for _, _, label, _ in rows)
    return TestPart(state, photos, {reason: number for reason, number in left_out.items() if number}, named)


def counted_labels(model: RegisteredModel, keys: Iterable[str]) -> list[str]:
    """These labels and all that they are merged into: the others have no say in a judgement."""
    merged = dict(model.labels.exclude(merged_into=None).values_list("key", "merged_into__key"))
    counted: set[str] = set()
    waiting = set(keys)
    while waiting:
        counted |= waiting
        waiting = {merged[key] for key in waiting if key in merged} - counted
    return sorted(counted)


def current_keys(model: RegisteredModel) -> dict[str, str]:
    """By the key of a label, the key that it has now; empty for one that is retired."""
    current = current_labels(model)
    return {key: current[pk] for pk, key in model.labels.values_list("pk", "key")}


def without_erased(flipped: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the photos that were erased while the versions were measured.

    The others are locked until the transaction ends: an erasure comes before, and is seen here, or after, and sees us.
    """
    items = lock_alive(SnapshotItem, [photo["item"] for photo in flipped])
    alive = set(SnapshotItem.objects.alive().filter(pk__in=items).values_list("pk", flat=True))
    return [photo for photo in flipped if photo["item"] in alive]


def find_flipped(photos: Sequence[TestPhoto], *, candidate: Said, serving: Said) -> list[dict[str, Any]]:
    """The photos that only one of the two has right: first those that were right, the surest mistakes first."""
    lost: list[dict[str, Any]] = []
    gained: list[dict[str, Any]] = []
    for number, photo in enumerate(photos):
        before, after = serving.answers[number], candidate.answers[number]
        if (before == photo.label) == (after == photo.label):
            continue
        row = {
            "item": photo.item,
            "label": photo.label,
            "before": before,
            "before_score": round(serving.scores[number], 4),
            "after": after,
            "after_score": round(candidate.scores[number], 4),
        }
        (lost if before == photo.label else gained).append(row)
    lost.sort(key=lambda row: -row["after_score"])
    gained.sort(key=lambda row: -row["before_score"])
    return lost[:MAX_FLIPPED] + gained[:MAX_FLIPPED]
