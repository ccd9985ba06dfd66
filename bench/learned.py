"""What years of learning leave in a filled folder: snapshots, a run, a judgement and a check-up of the larger model.

The rows are made, not learned: no network is trained. What pages read from JSON has the size and shape of real work,
figures and sentences come from the functions that make them in life.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence

from django.utils.timezone import now

from classifier_core.learning_curve import MORE_PHOTOS, ClassGain, LearningCurve, Point, Range
from classifier_core.side_by_side import Said, side_by_side
from classifier_core.training.config import TrainConfig
from recognizer.predictions.models import Blob, Prediction
from recognizer.registry.models import Judgement, ModelVersion, RegisteredModel, TestState
from recognizer.registry.rules import Limits, apply_rules, has_passed
from recognizer.training import figures
from recognizer.training.checkup_models import CheckUp, Finding
from recognizer.training.judging_versions import TestPhoto, find_flipped
from recognizer.training.models import BasePhoto, DatasetSnapshot, Part, SnapshotItem
from recognizer.training.run_models import TrainingRun
from recognizer.training.usefulness import NUM_ANSWERS

PHOTOS = 20_000
PARTS = [Part.TRAIN] * 14 + [Part.VAL] * 3 + [Part.TEST] * 3
NUM_SNAPSHOTS = 20  # the last two with photos: the pages of the others are smaller
NUM_RUNS = 20
EPOCHS = 50
FINDINGS_OF_A_KIND = 1_000
RIGHT = 0.85
CHUNK_ROWS = 5_000


def fill(model: RegisteredModel, *, serving: ModelVersion, candidate: ModelVersion) -> None:
    """All of it for this model; the candidate comes from the newest snapshot."""
    chance = random.Random(2)
    photos = _base_photos(model)
    state = TestState.objects.create(model=model, number=1, content_sha256="0" * 64, num_photos=len(photos) // 7)
    snapshots = [_snapshot(model, state) for _ in range(NUM_SNAPSHOTS)]
    # What serves has learned from the first of the two, as its artifact says.
    _fill_snapshot(snapshots[-2], photos[: PHOTOS // 2], serving.manifest["provenance"]["snapshot_sha256"])
    _fill_snapshot(snapshots[-1], photos, "f" * 64)
    for number in range(NUM_RUNS):
        is_last = number == NUM_RUNS - 1
        _run(snapshots[-1 if is_last else -2], serving, candidate if is_last else serving, chance)
    _judgement(snapshots[-1], serving=serving, candidate=candidate, chance=chance)
    _checkup(model, photos, chance)


def _base_photos(model: RegisteredModel) -> list[BasePhoto]:
    hashes = [hashlib.sha256(f"base photo {number}".encode()).hexdigest() for number in range(PHOTOS)]
    described = {"num_bytes": 70_000, "format": "JPEG", "width": 500, "height": 375}
    Blob.objects.bulk_create((Blob(sha256=sha256, **described) for sha256 in hashes), batch_size=CHUNK_ROWS)
    labels = list(model.labels.all())
    rows = [
        BasePhoto(model=model, blob_id=sha256, label=labels[number // len(PARTS) % len(labels)], source=f"{number}.jpg")
        for number, sha256 in enumerate(hashes)
    ]
    return BasePhoto.objects.bulk_create(rows, batch_size=CHUNK_ROWS)


def _snapshot(model: RegisteredModel, state: TestState) -> DatasetSnapshot:
    ready = {"status": "ready", "finished_at": now(), "test_state": state}
    return DatasetSnapshot.objects.ask(model, options={"base_photos": True, "reviews": True}, **ready)


def _fill_snapshot(snapshot: DatasetSnapshot, photos: Sequence[BasePhoto], content_sha256: str) -> None:
    SnapshotItem.objects.bulk_create(
        (
            SnapshotItem(
                snapshot=snapshot,
                blob_id=photo.blob_id,
                label=photo.label.key,
                part=PARTS[number % len(PARTS)],
                group=number,
                source=SnapshotItem.Source.BASE,
            )
            for number, photo in enumerate(photos)
        ),
        batch_size=CHUNK_ROWS,
    )
    previous = DatasetSnapshot.objects.filter(model=snapshot.model, number=snapshot.number - 1).get()
    contents, before = figures.contents_of(snapshot), figures.contents_of(previous)
    DatasetSnapshot.objects.filter(pk=snapshot.pk).update(
        previous=previous,
        content_sha256=content_sha256,
        num_photos=len(contents.photos),
        num_of_source=contents.num_of_source(),
        counts=contents.counts(),
        left_out={"copy": 812, "not_allowed": 5_210},
        changes=figures.difference(contents, before),
        warnings=figures.warnings_of(contents, before),
    )


def _run(snapshot: DatasetSnapshot, start: ModelVersion, candidate: ModelVersion, chance: random.Random) -> None:
    TrainingRun.objects.ask(
        snapshot.model,
        snapshot=snapshot,
        status="ready",
        finished_at=now(),
        architecture=candidate.architecture,
        start_kind="serving",
        start_version=start,
        preset="thorough",
        config=TrainConfig(candidate.architecture, pretrained="0" * 64, epochs=EPOCHS).to_dict(),
        candidate=candidate,
        epoch=EPOCHS,
        curves=list(_curves(chance)),
        log_tail="\n".join(f"epoch {number}/{EPOCHS}: loss 0.41, accuracy 0.87" for number in range(EPOCHS)),
    )


def _curves(chance: random.Random) -> Iterator[dict[str, object]]:
    for epoch in range(1, EPOCHS + 1):
        learned = 1 - 0.9 / epoch
        both = {"loss": 2 / epoch + chance.random() / 10, "accuracy": learned - chance.random() / 10}
        yield {"epoch": epoch, "lr": 0.001 / epoch, "seconds": 31.0, "recall": learned, "train": both, "val": both}


def _judgement(
    snapshot: DatasetSnapshot, *, serving: ModelVersion, candidate: ModelVersion, chance: random.Random
) -> None:
    items = snapshot.items.filter(part=Part.TEST).order_by("pk").values_list("pk", "blob_id", "label", "group")
    photos = [TestPhoto(pk, str(sha256), label, group) for pk, sha256, label, group in items]
    said = {name: _said(photos, chance) for name in ("candidate", "serving")}
    measured = {
        **side_by_side([photo.label for photo in photos], [photo.group for photo in photos], **said),
        "left_out": {},
        "engines": dict.fromkeys(said, "openvino-cpu-float32"),
        "latency_ms": {"num_photos": 10, **{name: {"p50": 9.1, "p95": 11.4} for name in said}},
        "parity": {"batch of 1": dict.fromkeys(("score_difference", "logit_difference", "feature_difference"), 1e-6)},
        "separate_process": {"error": "", "score_difference": 0.0},
        "learned": {name: [{"version": name, "num_learned": 0}] for name in said},
    }
    rules = apply_rules(measured, Limits())
    Judgement.objects.create(
        candidate=candidate,
        serving=serving,
        test_state=snapshot.test_state,
        labels_sha256=snapshot.model.labels.all().state_sha256(),
        passed=has_passed(rules),
        rules=[rule.to_dict() for rule in rules],
        limits=vars(Limits()),
        figures=measured,
        flipped=find_flipped(photos, **said),
    )


def _said(photos: Sequence[TestPhoto], chance: random.Random) -> Said:
    labels = sorted({photo.label for photo in photos})
    return Said(
        answers=tuple(photo.label if chance.random() < RIGHT else chance.choice(labels) for photo in photos),
        scores=tuple(chance.random() for _ in photos),
        known=(True,) * len(photos),
        classes=frozenset(labels),
    )


def _checkup(model: RegisteredModel, photos: Sequence[BasePhoto], chance: random.Random) -> None:
    keys = [label.key for label in model.labels.all()]
    newest = Prediction.objects.filter(model=model, status="succeeded").order_by("-created_at")[:NUM_ANSWERS]
    checkup = CheckUp.objects.create(
        model=model,
        status="ready",
        finished_at=now(),
        num_photos=len(photos),
        labels_checked="By a regression on what a network sees, and by the photos that look most alike.",
        held_out_accuracy=0.84,
        curve=_learning_curve(keys, chance).to_dict(),
        review_next=[{"prediction": str(row.pk), "margin": 0.02} for row in newest],
        seconds=240.0,
    )
    Finding.objects.bulk_create(_findings(checkup, photos, keys, chance), batch_size=CHUNK_ROWS)


def _findings(
    checkup: CheckUp, photos: Sequence[BasePhoto], keys: Sequence[str], chance: random.Random
) -> Iterator[Finding]:
    for kind in Finding.Kind.values:
        for rank, photo in enumerate(chance.sample(list(photos), FINDINGS_OF_A_KIND), 1):
            yield Finding(
                checkup=checkup,
                kind=kind,
                rank=rank,
                blob_id=photo.blob_id,
                label=photo.label.key,
                likely=chance.choice(keys),
                likely_score=0.9,
                label_score=0.05,
                value=12.0,
                part=Part.TRAIN,
                other_part=Part.TEST,
                is_upload=False,
            )


def _learning_curve(keys: Sequence[str], chance: random.Random) -> LearningCurve:
    def around(value: float) -> Range:
        return Range(value, value - 0.01, value + 0.01)

    points = [Point(number * 2_000, around(0.9 - 0.4 / number)) for number in range(1, 21)]
    gains = [ClassGain(key, MORE_PHOTOS, 0.8, around(chance.random() / 10), around(0.001)) for key in keys]
    return LearningCurve(PHOTOS, 200, points[:10], points, around(0.02), gains, dict.fromkeys(keys[:3], 4))
