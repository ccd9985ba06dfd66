"""Frozen snapshots: what is in them, what is not and why, and that they never change."""

import hashlib
import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import localdate, now

from classifier_core.errors import DatasetInvalid
from recognizer.predictions.erasure import erase
from recognizer.predictions.feedback import claim
from recognizer.predictions.models import Blob, Feedback, Owner, Review
from recognizer.predictions.review import approve, record
from recognizer.registry.models import Label, RegisteredModel, TestState
from recognizer.registry.taxonomy import merge
from recognizer.training.asking import ask_for_snapshot
from recognizer.training.base_photos import remove_base_photo
from recognizer.training.figures import Contents, Photo, warnings_of
from recognizer.training.models import DatasetSnapshot, PhotoLook, PhotoPlace, SnapshotItem
from recognizer.training.options import SnapshotOptions
from recognizer.training.snapshots import freeze
from tests.training.checkup_rows import flip
from tests.training.snapshot_rows import (
    answered,
    frozen,
    label,
    parts_of,
    person,
    photo_bytes,
    reject,
    reviewed,
    with_base_photos,
)


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def test_same_photos_freeze_to_the_same_hash(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit")
    reviewed(photo_bytes(5000), "apple")

    first, second = frozen(fruit_rows), frozen(fruit_rows)

    assert first.content_sha256 == second.content_sha256
    assert parts_of(first) == parts_of(second)
    assert first.num_photos == 61
    assert second.changes == {"sample": [], "added": {}, "removed": {}, "relabelled": {}}
    assert first.test_state == second.test_state


def test_split_is_stratified_and_kept(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit")
    before = frozen(fruit_rows)
    for seed in range(5000, 5040):
        reviewed(photo_bytes(seed), "apple")

    after = frozen(fruit_rows, seed=7)

    assert before.counts == {name: {"train": 22, "val": 4, "test": 4} for name in ("apple", "banana")}
    assert after.counts["apple"] == {"train": 50, "val": 10, "test": 10}
    assert parts_of(before).items() <= parts_of(after).items()
    assert after.changes["added"] == {"apple": 40}


def test_thousand_wrong_claims_change_nothing_and_one_approved_does(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit")
    stranger = Owner(visitor=uuid.uuid4())
    row = answered(photo_bytes(5000), label="apple", owner=stranger)
    before = frozen(fruit_rows)
    claim(row, owner=stranger, is_correct=False, claimed_label="banana")
    wrong = {"is_correct": False, "claimed_label": "banana", "label": label("banana")}
    Feedback.objects.bulk_create(Feedback(prediction=row, visitor=uuid.uuid4(), **wrong) for _ in range(999))

    claimed = frozen(fruit_rows)
    approve(Feedback.objects.first(), reviewer=person("judge"))
    approved = frozen(fruit_rows)

    assert claimed.content_sha256 == before.content_sha256
    assert approved.content_sha256 != before.content_sha256
    assert approved.changes["added"] == {"banana": 1}
    assert approved.items.get(source="review").label == "banana"


def test_only_the_newest_review_counts(fruit_rows: RegisteredModel):
    row = reviewed(photo_bytes(1), "apple")
    reviewed(photo_bytes(2), "apple")
    record(row, verdict=Review.Verdict.CORRECTED, reviewer=person("judge"), label=label("kiwi"))

    assert frozen(fruit_rows).items.get(blob=row.image.blob).label == "kiwi"


def test_owner_who_did_not_allow_is_left_out(fruit_rows: RegisteredModel):
    reviewed(photo_bytes(1))
    row = reviewed(photo_bytes(2), allowed=False)

    snapshot = frozen(fruit_rows)

    assert not snapshot.items.filter(blob=row.image.blob).exists()
    assert snapshot.left_out == {"not_allowed": 1}


def test_merged_labels_follow_and_retired_ones_are_left_out(fruit_rows: RegisteredModel):
    for seed, key in enumerate(("apple", "banana", "kiwi")):
        reviewed(photo_bytes(seed), key)
    before = frozen(fruit_rows)
    banana, kiwi = label("banana"), label("kiwi")
    banana.merged_into, kiwi.retired_at = label("lemon"), now()
    banana.save()
    kiwi.save()

    after = frozen(fruit_rows)

    assert sorted(after.items.values_list("label", flat=True)) == ["apple", "lemon"]
    assert after.left_out == {"retired": 1}
    assert after.changes["relabelled"] == {"banana → lemon": 1}
    assert after.changes["removed"] == {"kiwi": 1}
    assert sorted(before.items.values_list("label", flat=True)) == ["apple", "banana", "kiwi"]


def test_caps_keep_the_same_ones(fruit_rows: RegisteredModel):
    one, other = Owner(user=person("one")), Owner(user=person("other"))
    for seed in range(12):
        reviewed(photo_bytes(seed), owner=one)
    for seed in range(12, 16):
        reviewed(photo_bytes(seed), owner=other)
        reviewed(photo_bytes(seed + 100), "banana", owner=other)

    first = frozen(fruit_rows, max_per_uploader=6, max_per_class=9)
    second = frozen(fruit_rows, max_per_uploader=6, max_per_class=9)

    uploaders = Counter(first.items.filter(label="apple").values_list("uploader", flat=True))
    assert uploaders[f"user:{one.user.pk}"] <= 6
    assert first.left_out == {"over_uploader_cap": 6, "over_class_cap": 1}
    assert first.counts["apple"] | {"total": 9} == first.counts["apple"] | {
        "total": sum(first.counts["apple"].values())
    }
    assert first.content_sha256 == second.content_sha256


def test_sources_and_time_choose(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=4)
    reviewed(photo_bytes(5000), at=now() - timedelta(days=10))
    reviewed(photo_bytes(5001))
    yesterday = localdate() - timedelta(days=1)

    assert frozen(fruit_rows, reviews=False).num_of_source == {"base": 8}
    assert frozen(fruit_rows, base_photos=False, since=yesterday).num_photos >= 1
    late = frozen(fruit_rows, until=yesterday)
    assert late.num_of_source == {"base": 8, "review": 1}
    assert late.left_out == {"not_chosen": 1}


def test_every_photo_is_in_or_left_out_with_a_reason(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=5)
    reviewed(photo_bytes(5000))
    reviewed(photo_bytes(5000))  # the same bytes once more
    reviewed(photo_bytes(5001), "apple")
    reviewed(photo_bytes(5001), "banana")  # two opinions
    reject(answered(photo_bytes(5002)))
    reviewed(photo_bytes(5003), allowed=False)
    half = photo_bytes(5004)
    reviewed(half[: len(half) // 2])

    snapshot = frozen(fruit_rows)

    assert snapshot.left_out == {"conflict": 2, "copy": 1, "not_allowed": 1, "rejected": 1, "unreadable": 1}
    assert snapshot.num_photos + sum(snapshot.left_out.values()) == 10 + 7


def test_rejected_test_photo_goes_and_numbers_a_new_state(fruit_rows: RegisteredModel):
    rows = [reviewed(photo_bytes(seed)) for seed in range(12)]
    before = frozen(fruit_rows)
    tested = before.items.filter(part="test").first()
    reject(next(row for row in rows if row.pk == tested.prediction))

    after = frozen(fruit_rows)

    assert (before.test_state.number, after.test_state.number) == (1, 2)
    assert after.test_state.changes == {"rejected": 1}
    assert tested.blob_id not in parts_of(after)
    assert before.test_state.num_photos == after.test_state.num_photos + 1


def test_test_part_grows_only(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=10)
    for seed in range(5000, 5010):
        reviewed(photo_bytes(seed))
    first = frozen(fruit_rows)

    narrow = frozen(fruit_rows, base_photos=False, max_per_class=1, until=localdate() - timedelta(days=9))

    assert set(narrow.items.filter(part="test").values_list("blob", flat=True)) == set(
        first.items.filter(part="test").values_list("blob", flat=True)
    )
    assert narrow.test_state == first.test_state


def test_erasure_leaves_a_tombstone_and_no_bytes(fruit_rows: RegisteredModel, media: Path):
    rows = [reviewed(photo_bytes(seed)) for seed in range(4)]
    snapshot = frozen(fruit_rows)
    blob = rows[0].image.blob_id

    erase(rows[0], erased_by="user:1")

    [tombstone] = snapshot.items.exclude(erased_at=None)
    assert (tombstone.blob_id, tombstone.image_id, tombstone.label, tombstone.uploader) == (None, None, "", "")
    assert (tombstone.prediction, tombstone.review) == (None, None)
    assert not (media / "blobs" / blob[:2] / blob).exists()
    assert not PhotoLook.objects.filter(pk=blob).exists()
    assert PhotoPlace.objects.filter(blob_sha256=blob).exists()  # the same photo would get the same part
    assert frozen(fruit_rows).num_photos == 3


def test_erased_test_photo_numbers_a_new_state(fruit_rows: RegisteredModel):
    rows = {row.pk: row for row in (reviewed(photo_bytes(seed)) for seed in range(12))}
    tested = frozen(fruit_rows).items.filter(part="test").first()

    erase(rows[tested.prediction], erased_by="user:1")

    state = frozen(fruit_rows).test_state
    assert (state.number, state.changes) == (2, {"erased": 1})


def test_erased_upload_that_is_a_base_photo_too_stays_one(fruit_rows: RegisteredModel, tmp_path: Path, media: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=3)
    raw = (tmp_path / "fruit" / "apple" / "000.png").read_bytes()
    row = reviewed(raw)

    erase(row, erased_by="user:1")

    assert (media / "blobs" / sha(raw)[:2] / sha(raw)).exists()
    assert sha(raw) in parts_of(frozen(fruit_rows))


def test_snapshot_is_never_edited(fruit_rows: RegisteredModel):
    reviewed(photo_bytes(1))
    snapshot = frozen(fruit_rows)

    with pytest.raises(TypeError, match="never edited"):
        snapshot.save()
    assert not snapshot.finish(num_photos=9)
    assert not snapshot.fail("no")
    assert not snapshot.start()


def test_freeze_that_fails_lets_go_of_its_photos(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=3)
    snapshot = ask_for_snapshot(fruit_rows, SnapshotOptions(features=False), by=None, rings=False)
    assert snapshot.start()

    def full(words: str) -> None:
        if words == "Counting":
            assert snapshot.items.exists()
            raise OSError("The disk is full.")

    freeze(snapshot, say=full)

    assert (snapshot.status, snapshot.error) == ("failed", "The disk is full.")
    assert not snapshot.items.exists()
    for photo in fruit_rows.base_photos.all():
        remove_base_photo(photo)
    assert not Blob.objects.exists()


def test_freeze_whose_worker_died_too_often_lets_go_of_its_photos(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=3)
    kept = frozen(fruit_rows)
    dead = DatasetSnapshot.objects.ask(fruit_rows)
    for item in kept.items.all():
        SnapshotItem.objects.create(snapshot=dead, blob=item.blob, part=item.part, group=item.group, source="base")
    DatasetSnapshot.objects.filter(pk=dead.pk).update(status="running", attempts=3, lease_until=now())

    DatasetSnapshot.objects.return_expired(now() + timedelta(seconds=1))

    dead.refresh_from_db()
    assert dead.status == "failed"
    assert not dead.items.exists()
    assert kept.items.count() == 6


def test_new_class_is_no_jump_of_its_share():
    def photos(**counts: int) -> Contents:
        of = ((label, number) for label, total in counts.items() for number in range(total))
        return Contents({f"{label}{number}": Photo(0, label, "train", "base", "") for label, number in of})

    told = " ".join(warnings_of(photos(apple=20, pear=60, kiwi=40), photos(apple=50, pear=50)))

    assert "{apple} went from 50% to 17%" in told
    assert "{kiwi} went" not in told


def test_many_small_classes_make_one_warning():
    photos = {
        f"{label}{number}": Photo(0, f"class{label:02}", "train", "base", "")
        for label in range(12)
        for number in range(label)
    }

    train, test = warnings_of(Contents(photos), Contents({}))

    assert train.startswith(
        "11 classes have fewer than 20 photos in train, which say little: {class01} 1, {class02} 2,"
    )
    assert train.endswith(" {class10} 10 and 1 more. Add some.")
    assert test.startswith("11 classes have fewer than 5 photos in test")


def test_many_labels_that_became_another_are_warned_of(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=40)
    frozen(fruit_rows)
    flip(5)
    after_five = frozen(fruit_rows).warnings
    flip(5)

    after_ten = frozen(fruit_rows).warnings

    words = "{} of {} photos of {{apple}} are called {{banana}} since the previous snapshot"
    assert next(warning for warning in after_five if "are called" in warning).startswith(words.format(5, 40))
    assert next(warning for warning in after_ten if "are called" in warning).startswith(words.format(5, 35))
    assert not [warning for warning in frozen(fruit_rows).warnings if "are called" in warning]


@pytest.mark.parametrize(
    ("part", "merged", "words"),
    [
        ("test", {}, ["8 of 8 photos of {pear} are called {apple} since the previous snapshot, 8 of them where"]),
        ("train", {}, ["8 of 8 photos of {pear} are called {apple} since the previous snapshot. Look"]),
        ("test", {"pear": "apple"}, []),
    ],
)
def test_whole_class_renamed_is_warned_of_unless_merged(part: str, merged: dict[str, str], words: list[str]):
    then, now = (
        Contents({str(number): Photo(0, label, part, "base", "") for number in range(8)}) for label in ("pear", "apple")
    )

    said = [warning for warning in warnings_of(now, then, merged) if "are called" in warning]

    assert [warning[: len(start)] for warning, start in zip(said, words, strict=True)] == words


def test_merge_is_no_mistake_that_a_snapshot_warns_of(fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=10)
    frozen(fruit_rows)
    merge(Label.objects.get(key="apple"), Label.objects.get(key="banana"))

    assert not [warning for warning in frozen(fruit_rows).warnings if "are called" in warning]


def test_nothing_to_freeze_fails_in_words(fruit_rows: RegisteredModel):
    reviewed(photo_bytes(1), allowed=False)
    snapshot = ask_for_snapshot(fruit_rows, SnapshotOptions(features=False), by=None, rings=False)
    assert snapshot.start()

    freeze(snapshot)

    snapshot = DatasetSnapshot.objects.get()
    assert snapshot.status == "failed"
    assert snapshot.error.startswith("There is no photo to freeze.")
    assert "1 left out: The owner did not allow training." in snapshot.error
    assert not TestState.objects.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"base_photos": False, "reviews": False},
        {"since": localdate(), "until": localdate() - timedelta(days=1)},
        {"max_per_class": 0},
        {"val_share": 0.5, "test_share": 0.5},
    ],
)
def test_senseless_options_are_refused(fruit_rows: RegisteredModel, options: dict[str, object]):
    with pytest.raises(DatasetInvalid):
        ask_for_snapshot(fruit_rows, SnapshotOptions(**options), by=None, rings=False)
    assert not DatasetSnapshot.objects.exists()
