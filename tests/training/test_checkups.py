"""What a check-up finds, what deciding changes, and what it remembers."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image, ImageFilter

from classifier_core.learning_curve import MORE_PHOTOS
from recognizer.predictions import blobs
from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Blob, Prediction, Review
from recognizer.predictions.review import Overtaken
from recognizer.registry.models import RegisteredModel
from recognizer.training import decisions, words
from recognizer.training.asking import ask_for_checkup
from recognizer.training.checkup_models import CheckUp, Finding, PhotoDecision
from recognizer.training.decisions import NotUndoable, dismiss, fix, undo
from recognizer.training.findings import known_decisions
from recognizer.training.models import BasePhoto, PhotoPlace
from recognizer.training.tasks import check_pending, tend
from tests.photo_folders import picture
from tests.training.checkup_rows import checked, flip, found, made_features, with_features  # noqa: F401
from tests.training.snapshot_rows import LABELS, answered, encoded, frozen, label, person, photo_bytes, reviewed

pytestmark = pytest.mark.usefixtures("made_features")


@pytest.fixture
def flipped(fruit_rows: RegisteredModel, tmp_path: Path) -> list[str]:
    """30 apples and 30 bananas, of which 3 apples are called bananas."""
    with_features(fruit_rows, tmp_path / "fruit", each=30)
    return flip(3)


def of_photo(sha256: str) -> str:
    return BasePhoto.objects.get(blob=sha256).label.key


def base_photo(raw: bytes, key: str = "apple") -> str:
    """One more base photo."""
    sha256 = blobs.write(raw)
    blob = Blob.objects.create(sha256=sha256, num_bytes=len(raw), format="JPEG", width=96, height=80)
    row = BasePhoto.objects.create(model=label(key).model, blob=blob, label=label(key), source="zz.jpg")
    return row.blob_id


def test_flipped_labels_are_ranked_first(fruit_rows: RegisteredModel, flipped: list[str]):
    suspects = found(checked(fruit_rows), "label")

    assert {one.blob_id for one in suspects[: len(flipped)]} == set(flipped)
    assert {(one.label, one.likely) for one in suspects[:3]} == {("banana", "apple")}


def test_fixing_relabels_and_keeps_who_did_it(fruit_rows: RegisteredModel, flipped: list[str]):
    one = found(checked(fruit_rows), "label")[0]

    fix(one, by=person("judge"))

    assert of_photo(one.blob_id) == "apple"
    decision = PhotoDecision.objects.get()
    assert (decision.what, decision.previous_label, decision.label) == ("relabelled", "banana", "apple")
    assert decision.decided_by == person("judge")
    assert one.blob_id not in {row.blob_id for row in found(checked(fruit_rows), "label")}


def test_a_fix_is_taken_back(fruit_rows: RegisteredModel, flipped: list[str]):
    one = found(checked(fruit_rows), "label")[0]
    fix(one, by=person("judge"))

    undo(one, by=person("judge"))

    assert of_photo(one.blob_id) == "banana"
    assert PhotoDecision.objects.count() == 2
    assert Finding.objects.open().filter(pk=one.pk).exists()


def test_what_is_right_is_not_asked_again_until_the_label_changes(fruit_rows: RegisteredModel, flipped: list[str]):
    one = found(checked(fruit_rows), "label")[0]
    dismiss(one, by=person("judge"))

    again = {row.blob_id for row in found(checked(fruit_rows), "label")}
    assert again == set(flipped) - {one.blob_id}

    decided = known_decisions(fruit_rows)
    asked = {"kind": "label", "blob_id": one.blob_id, "likely": "apple"}
    assert Finding(**asked, label="banana").is_settled_by(decided)
    assert not Finding(**asked, label="kiwi").is_settled_by(decided)


def test_two_people_decide_once(fruit_rows: RegisteredModel, flipped: list[str]):
    one = found(checked(fruit_rows), "label")[0]
    mine, yours = (Finding.objects.get(pk=one.pk) for _ in range(2))
    fix(mine, by=person("judge"))

    with pytest.raises(Overtaken, match="already"):
        fix(yours, by=person("other"))
    with pytest.raises(Overtaken, match="already"):
        dismiss(yours, by=person("other"))
    assert PhotoDecision.objects.count() == 1


def test_a_label_that_changed_meanwhile_stays(fruit_rows: RegisteredModel, flipped: list[str]):
    one = found(checked(fruit_rows), "label")[0]
    BasePhoto.objects.filter(blob=one.blob_id).update(label=label("kiwi"))

    with pytest.raises(Overtaken, match="not labelled 'banana' any more"):
        fix(one, by=person("judge"))

    assert of_photo(one.blob_id) == "kiwi"
    assert Finding.objects.open().filter(pk=one.pk).exists()


def test_a_reviewed_recognition_gets_one_more_review(fruit_rows: RegisteredModel):
    raw = photo_bytes(1)
    first, second = reviewed(raw, "apple"), reviewed(raw, "banana")
    checkup = checked(fruit_rows)
    [one] = found(checkup, "conflict")
    assert (one.other_id, one.is_upload) == (None, True)

    fix(one, by=person("judge"))

    newest = dict(Review.objects.newest().values_list("prediction", "label__key"))
    assert newest == {first.pk: "apple", second.pk: "apple"}
    assert Review.objects.filter(prediction=second).count() == 2
    assert found(checked(fruit_rows), "conflict") == []
    with pytest.raises(NotUndoable):
        undo(one, by=person("judge"))


def test_copies_with_two_labels_get_one(fruit_rows: RegisteredModel, tmp_path: Path):
    with_features(fruit_rows, tmp_path / "fruit", each=12)
    original = Image.open(tmp_path / "fruit" / "apple" / "003.png")
    copy = base_photo(encoded(original.resize((140, 120))), "banana")

    [one] = found(checked(fruit_rows), "conflict")

    assert one.likely == "apple"
    fix(one, by=person("judge"))
    assert of_photo(copy) == "apple"


def test_a_copy_is_taken_out_of_snapshots_and_put_back(fruit_rows: RegisteredModel, tmp_path: Path):
    with_features(fruit_rows, tmp_path / "fruit", each=12)
    copy = base_photo(encoded(Image.open(tmp_path / "fruit" / "apple" / "003.png").resize((140, 120))))
    [one] = found(checked(fruit_rows), "copy")

    fix(one, by=person("judge"))

    assert frozen(fruit_rows).left_out == {"taken_out": 1}
    assert copy in (one.blob_id, one.other_id)
    undo(one, by=person("judge"))
    assert frozen(fruit_rows).left_out == {"copy": 1}
    assert list(PhotoDecision.objects.values_list("what", flat=True)) == ["put_back", "taken_out"]


def test_a_copy_across_parts_is_a_leak(fruit_rows: RegisteredModel, tmp_path: Path):
    with_features(fruit_rows, tmp_path / "fruit", each=12)
    base_photo(encoded(Image.open(tmp_path / "fruit" / "apple" / "003.png").resize((140, 120))))
    [pair] = found(checked(fruit_rows), "copy")
    for number, (sha256, part) in enumerate([(pair.blob_id, "test"), (pair.other_id, "train")], 1):
        PhotoPlace.objects.create(model=fruit_rows, blob_sha256=sha256, part=part, group=number, picture=number)

    checkup = checked(fruit_rows)

    [leak] = found(checkup, "leak")
    assert (leak.blob_id, leak.part, leak.other_part) == (pair.other_id, "train", "test")
    assert found(checkup, "copy") == []


def test_blurred_tiny_and_unreadable_photos_are_found(fruit_rows: RegisteredModel, tmp_path: Path):
    with_features(fruit_rows, tmp_path / "fruit", each=12)
    blurred = base_photo(encoded(picture(77, size=(200, 160)).filter(ImageFilter.GaussianBlur(30))))
    tiny = base_photo(encoded(picture(78).resize((20, 16)), "PNG"))
    broken = base_photo(photo_bytes(79)[:500])

    checkup = checked(fruit_rows)

    assert [row.blob_id for row in found(checkup, "blurred")] == [blurred]
    assert [row.blob_id for row in found(checkup, "tiny")] == [tiny]
    assert [row.blob_id for row in found(checkup, "unreadable")] == [broken]


def test_only_the_newest_check_up_asks(fruit_rows: RegisteredModel, flipped: list[str]):
    old = checked(fruit_rows)
    new = checked(fruit_rows)

    assert not old.findings.open().exists()
    assert new.findings.open().count() == len(flipped)


def test_findings_go_with_an_erased_upload(fruit_rows: RegisteredModel):
    row = reviewed(photo_bytes(1)[:500], "apple")
    checkup = checked(fruit_rows)
    assert checkup.findings.count() == 1

    erase(row, erased_by="visitor")

    assert not Blob.objects.exists()
    assert checkup.findings.count() == 0


def test_photos_that_may_not_train_are_not_looked_at(fruit_rows: RegisteredModel):
    reviewed(photo_bytes(1), "apple", allowed=False)
    checkup = ask_for_checkup(fruit_rows, by=None, rings=False)

    check_pending()

    checkup.refresh_from_db()
    assert (checkup.status, checkup.error[:26]) == ("failed", "There is no photo to check")


def test_asking_twice_is_one_check_up_and_a_lost_ring_is_found(fruit_rows: RegisteredModel, monkeypatch):
    rung: list[str] = []
    monkeypatch.setattr("recognizer.training.bell.ring", rung.append)
    first, second = (ask_for_checkup(fruit_rows, by=None, rings=False) for _ in range(2))

    tend()

    assert first == second
    assert rung == ["check-photos"]


def test_too_few_photos_give_no_curve_but_a_sentence(fruit_rows: RegisteredModel, tmp_path: Path):
    with_features(fruit_rows, tmp_path / "fruit", each=4)

    checkup = checked(fruit_rows)

    assert checkup.curve == {}
    assert checkup.curve_problem.startswith("Too few photos to say what more would bring")


def test_what_to_review_next_is_doubtful_unreviewed_and_allowed(fruit_rows: RegisteredModel, tmp_path: Path):
    with_features(fruit_rows, tmp_path / "fruit", each=4)
    sure, doubtful, _forbidden = (answered(photo_bytes(seed), allowed=seed != 902) for seed in (900, 901, 902))
    Prediction.objects.filter(pk=doubtful.pk).update(scores=[["apple", 0.51], ["banana", 0.49]])
    reviewed(photo_bytes(903), "apple")

    next_ones = checked(fruit_rows).review_next

    assert [one["prediction"] for one in next_ones] == [str(doubtful.pk), str(sure.pk)]
    assert next_ones[0]["margin"] == 0.02


def test_command_says_what_is_wrong_and_what_more_would_bring(
    fruit_rows: RegisteredModel, flipped: list[str], capsys: pytest.CaptureFixture[str]
):
    call_command("doctor", "fruit", "--list", "1")

    said = capsys.readouterr().out
    assert "Wrong labels: 3" in said
    assert said.count("Labelled banana, looks like apple") == 1
    assert f"{MORE_PHOTOS} more photos of apple would probably" in said
    assert CheckUp.objects.get().status == "ready"


def test_command_refuses_an_unknown_model(db: None):
    with pytest.raises(CommandError, match="There is no model named 'plum'"):
        call_command("doctor", "plum")


def test_words_and_curve_mean_the_same_number():
    assert words.MORE_PHOTOS == MORE_PHOTOS
    gain = {"label": "glass", "recall": 0.8, "own": {"value": 0.04, "low": 0.01, "high": 0.07}}
    gain["mean"] = {"value": 0.012, "low": 0.001, "high": 0.025}
    assert words.about_class(gain, {"glass": "Glass"}) == (
        "20 more photos of Glass would probably give +4.0 points (1.0 to 7.0) for Glass, and +1.2 points (0.1 to 2.5) "
        "in the mean of all classes."
    )


def test_labels_have_names(fruit_rows: RegisteredModel, flipped: list[str]):
    one = found(checked(fruit_rows), "label")[0]

    assert words.about_findings(one, {"apple": "Apple", "banana": "Banana"}) == "Labelled Banana, looks like Apple"
    assert set(LABELS) == {"apple", "banana"}


def test_a_verdict_between_looking_and_writing_is_not_overwritten(
    fruit_rows: RegisteredModel, monkeypatch: pytest.MonkeyPatch
):
    raw = photo_bytes(1)
    first, second = reviewed(raw, "apple"), reviewed(raw, "banana")
    [one] = found(checked(fruit_rows), "conflict")
    record = decisions.record

    def after_ann(answer: Prediction, **verdict: Any) -> Review:
        record(answer, verdict=Review.Verdict.REJECTED, reviewer=person("ann"))
        return record(answer, **verdict)

    monkeypatch.setattr(decisions, "record", after_ann)

    with pytest.raises(Overtaken, match="ann was here meanwhile: rejected"):
        fix(one, by=person("judge"))

    assert {row.reviews.count() for row in (first, second)} == {
        1
    }  # Ann's, made up in here, is taken back with the rest
    assert Finding.objects.open().filter(pk=one.pk).exists()
