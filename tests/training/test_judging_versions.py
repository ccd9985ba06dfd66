"""Two versions judged on the same test photos: really learned, really loaded, really refused."""

import io
import shutil
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now
from PIL import Image

from classifier_core.artifact import load_artifact
from recognizer.predictions.erasure import erase
from recognizer.registry.models import Judgement, Label, LearnedPhoto, ModelVersion
from recognizer.registry.promotion import PromotionRefused, promote
from recognizer.training import contest
from recognizer.training.judging_versions import current_keys, find_test_part, judge
from recognizer.training.judgings import ask_for_judgement
from recognizer.training.models import BasePhoto, Judging, LeaseLost
from recognizer.training.run_models import TrainingRun
from recognizer.training.tasks import judge_pending
from tests.registry_rows import promoted_version, registered_version
from tests.training.judged_versions import flipped, learned, photo, photos_to_judge, version
from tests.training.snapshot_rows import frozen, reviewed

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("judging versions"), pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> dict[str, Path]:
    """Trained and exported once: by their name, in folders named by their hash, as workers look for them."""
    root = tmp_path_factory.mktemp("artifacts")
    made = {
        "good": learned(root / "good"),
        "flipped": learned(root / "flipped", labeller=flipped),
        "two": learned(root / "two", labels=("apple", "banana")),
        "two flipped": learned(root / "two flipped", labels=("apple", "banana"), labeller=flipped),
    }
    return {name: folder.rename(root / load_artifact(folder).sha256) for name, folder in made.items()}


@pytest.fixture
def fruit(artifacts: dict[str, Path], settings: Any, fresh_process: None) -> Callable[[str], ModelVersion]:
    """Makes versions; the first one serves."""
    settings.RECOGNIZER_ARTIFACT_DIR = next(iter(artifacts.values())).parent
    settings.RECOGNIZER_NUM_THREADS = 1

    def make(name: str) -> ModelVersion:
        made = version(artifacts, name)
        if made.model.desired_version() is None:
            promote(made, by=None)
        return made

    return make


def judged(candidate: ModelVersion, **options: Any) -> Judgement:
    judging = ask_for_judgement(candidate, rings=False, **options)
    assert judging.start()
    judge(judging)
    assert judging.judgement is not None, judging.error
    return Judgement.objects.get(pk=judging.judgement.pk)


def rule(judgement: Judgement, name: str) -> dict[str, Any]:
    return next(one for one in judgement.rules if one["rule"] == name)


@pytest.mark.slow
def test_flipped_labels_are_refused_and_the_class_is_named(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("good"), fruit("flipped")
    photos_to_judge(serves.model, tmp_path / "photos")

    judgement = judged(candidate)

    assert not judgement.passed
    [words] = [rule(judgement, "classes")["words"]]
    assert rule(judgement, "classes")["labels"] == ["apple"]
    assert words.startswith("{apple} falls from 100.0 % to ")
    assert "95 % interval" in words
    assert {row["label"] for row in judgement.flipped} == {"apple"}
    assert {row["after"] for row in judgement.flipped} == {"banana"}
    assert judgement.figures["confusion"]["labels"] == ["apple", "banana"]
    with pytest.raises(PromotionRefused, match="apple} falls from"):
        promote(candidate, by=None)
    forced = promote(candidate, by=None, force=True, reason="the camera is another one")
    assert (forced.kind, forced.judgement) == ("forced", judgement)


def test_better_version_passes_and_is_promoted(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("flipped"), fruit("good")
    snapshot = photos_to_judge(serves.model, tmp_path / "photos")

    judgement = judged(candidate)

    assert judgement.passed, judgement.rules
    assert judgement.test_state == snapshot.test_state
    assert judgement.figures["num_photos"] == snapshot.test_state.num_photos
    assert judgement.figures["accuracy"]["candidate"] == 1.0
    assert rule(judgement, "separate process")["outcome"] == "passed"
    assert judgement.figures["separate_process"]["score_difference"] < 1e-3
    assert judgement.figures["latency_ms"]["candidate"]["p50"] > 0
    assert rule(judgement, "export")["words"].startswith("Its exported graph answers like the original")
    Label.objects.create(model=serves.model, key="never used", retired_at=now())
    assert {"apple", "banana"} <= set(judgement.figures["labels"])
    promotion = promote(candidate, by=None)
    assert (promotion.kind, promotion.judgement) == ("promotion", judgement)


def test_class_that_only_the_candidate_knows_counts_for_it(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("two"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=20)

    judgement = judged(candidate)

    cherry = next(row for row in judgement.figures["classes"] if row["label"] == "cherry")
    assert (cherry["serving"], cherry["candidate"], cherry["is_new"]) == (0.0, 1.0, True)
    assert judgement.figures["num_strangers"] == 0
    assert judgement.passed


def test_class_that_the_candidate_forgot_is_named(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("good"), fruit("two")
    photos_to_judge(serves.model, tmp_path / "photos", each=20)

    judgement = judged(candidate)

    assert rule(judgement, "known classes")["labels"] == ["cherry"]
    assert not judgement.passed


def test_labels_are_followed_and_retired_ones_left_out(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("good"), fruit("two")
    snapshot = photos_to_judge(serves.model, tmp_path / "photos", each=20)
    banana, cherry = (serves.model.labels.get(key=key) for key in ("banana", "cherry"))
    fruits = Label.objects.create(model=serves.model, key="long")
    Label.objects.filter(pk=banana.pk).update(merged_into=fruits)
    Label.objects.filter(pk=cherry.pk).update(retired_at=now())

    judgement = judged(candidate)

    assert current_keys(serves.model) == {"apple": "apple", "banana": "long", "cherry": "", "long": "long"}
    assert {row["label"] for row in judgement.figures["classes"]} == {"apple", "long"}
    assert judgement.figures["left_out"] == {"retired": snapshot.counts["cherry"]["test"]}
    assert judgement.passed, judgement.rules


def test_photo_of_a_class_neither_knows_is_a_stranger(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("two"), fruit("two flipped")
    snapshot = photos_to_judge(serves.model, tmp_path / "photos", each=10)

    judgement = judged(candidate)

    assert judgement.figures["num_strangers"] == snapshot.counts["cherry"]["test"]
    assert judgement.figures["num_photos"] == snapshot.counts["apple"]["test"] + snapshot.counts["banana"]["test"]
    assert judgement.figures["strangers_caught"] == {"candidate": 0.0, "serving": 0.0}  # their thresholds are low
    assert "cherry" not in {row["label"] for row in judgement.figures["classes"]}


def test_new_test_state_or_merged_label_asks_for_another_judgement(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)

    with pytest.raises(PromotionRefused, match="was not judged against fruit v1, which serves"):
        promote(candidate, by=None)
    judged(candidate)
    Label.objects.filter(key="cherry").update(retired_at=now())
    with pytest.raises(PromotionRefused, match=r"Labels were merged or retired .* Judge fruit v2 again"):
        promote(candidate, by=None)
    Label.objects.filter(key="cherry").update(retired_at=None)
    BasePhoto.objects.filter(blob__in=serves.model.photo_places.filter(part="test").values("blob_sha256"))[0].delete()
    frozen(serves.model, test_share=0.4)
    with pytest.raises(PromotionRefused, match="The test part is in state 2 by now"):
        promote(candidate, by=None)


def test_erased_photo_judges_no_more(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("good"), fruit("flipped")
    rows = [reviewed(photo_file(number), "apple") for number in range(12)]
    photos_to_judge(serves.model, tmp_path / "photos", each=10)
    before = find_test_part(serves.model)
    erased = [row for row in rows if row.image.blob_id in {photo.sha256 for photo in before.photos}]
    for row in erased:
        erase(row, erased_by="test")

    judgement = judged(candidate)

    assert len(erased) > 0
    assert judgement.figures["left_out"] == {"erased": len(erased)}
    assert judgement.figures["num_photos"] == len(before.photos) - len(erased)


def photo_file(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo("apple", number, seed=7000)[0]).save(file, "PNG")
    return file.getvalue()


def test_file_that_is_gone_is_left_out(fruit: Any, tmp_path: Path, media: Path):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)
    gone = find_test_part(serves.model).photos[0].sha256
    (media / "blobs" / gone[:2] / gone).unlink()

    assert judged(candidate).figures["left_out"] == {"unreadable": 1}


@pytest.mark.parametrize("share", [0.5, 1])
def test_photos_that_are_erased_once_they_were_answered_are_passed_over(
    fruit: Any, tmp_path: Path, media: Path, share: float
):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)
    tested = [photo.sha256 for photo in find_test_part(serves.model).photos]
    judging = ask_for_judgement(candidate, rings=False)
    assert judging.start()

    def erased(words: str) -> None:
        for sha256 in tested[: round(len(tested) * share)] if words == "Timing both versions" else ():
            (media / "blobs" / sha256[:2] / sha256).unlink()

    judge(judging, say=erased)

    if share == 1:
        assert judging.error.startswith("The test photos were erased while the versions were measured.")
    else:
        assert judging.judgement.figures["latency_ms"]["num_photos"] > 0


def test_nobody_knows_what_imported_versions_learned_from(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)

    judgement = judged(candidate)

    assert judgement.passed
    assert rule(judgement, "unseen photos")["outcome"] == "warning"
    assert rule(judgement, "unseen photos")["words"] == (
        "The candidate (fruit v2): not known whether it learned from these photos, for fruit v2 was imported. "
        "What serves (fruit v1): not known whether it learned from these photos, for fruit v1 was imported."
    )


def test_version_that_started_from_one_that_saw_the_test_photos_is_refused(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("flipped"), fruit("good")
    snapshot = photos_to_judge(serves.model, tmp_path / "photos", each=10)
    elsewhere = registered_version("shop")
    seen = [photo.sha256 for photo in find_test_part(serves.model).photos[:3]]
    learned_from(elsewhere, seen)
    learned_from(candidate, snapshot.items.filter(part="train").values_list("blob_id", flat=True))
    run = TrainingRun.objects.ask(serves.model, snapshot=snapshot, start_version=elsewhere, preset="quick")
    TrainingRun.objects.filter(pk=run.pk).update(candidate=candidate, status="ready")

    judgement = judged(candidate)

    assert not judgement.passed
    assert judgement.figures["learned"]["candidate"] == [
        {"version": "fruit v2", "num_learned": 0},
        {"version": "shop v1", "num_learned": 3},
    ]
    assert "learned from photos that judge it: shop v1 from 3." in rule(judgement, "unseen photos")["words"]


def test_copy_of_a_test_photo_was_seen_too(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)
    place = serves.model.photo_places.filter(part="test").first()
    copy = "c" * 64
    serves.model.photo_places.create(blob_sha256=copy, part="test", group=place.group, picture=place.picture)
    learned_from(candidate, [copy, place.blob_sha256])

    assert judged(candidate).figures["learned"]["candidate"] == [{"version": "fruit v2", "num_learned": 1}]


def learned_from(version: ModelVersion, hashes: Iterable[str]) -> None:
    LearnedPhoto.objects.bulk_create(LearnedPhoto(version=version, blob_sha256=one) for one in hashes)


def test_broken_candidate_ends_in_a_sentence(fruit: Any, artifacts: Mapping[str, Path], tmp_path: Path, settings: Any):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)
    settings.RECOGNIZER_ARTIFACT_DIR = tmp_path / "artifacts"
    for one in (serves, candidate):
        shutil.copytree(artifacts["good"].parent / one.artifact_sha256, tmp_path / "artifacts" / one.artifact_sha256)
    (tmp_path / "artifacts" / candidate.artifact_sha256 / "model.safetensors").write_bytes(b"x")
    ask_for_judgement(candidate)

    judge_pending()

    row = Judging.objects.get()
    assert row.status == "failed"
    assert "the weights are not the ones" in row.error
    assert not Judgement.objects.exists()


def test_what_a_fresh_process_cannot_load_is_refused(
    fruit: Any, artifacts: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)
    found = artifacts["good"] / "artifact.json"
    away = found.with_suffix(".away")
    monkeypatch.setattr(contest, "time_in_turn", _moving(contest.time_in_turn, found, away))
    monkeypatch.setattr("recognizer.training.judging_versions.time_in_turn", contest.time_in_turn)
    try:
        judgement = judged(candidate)
    finally:
        away.rename(found)

    assert rule(judgement, "separate process")["outcome"] == "refused"
    assert rule(judgement, "separate process")["words"].startswith("A fresh process gave no answer: ")
    assert not judgement.passed


def _moving(step: Callable[..., Any], found: Path, away: Path) -> Callable[..., Any]:
    """The step; after it the file is somewhere else, as after a deployment that forgot it."""

    def moved(*arguments: Any) -> Any:
        done = step(*arguments)
        found.rename(away)
        return done

    return moved


@pytest.mark.parametrize(
    ("number", "against", "words"),
    [
        (1, None, "There are no test photos of fruit. Freeze a data set of it first."),
        (0, None, "fruit v1 serves already"),
        (1, "cars", "versions of different models"),
    ],
)
def test_what_cannot_be_judged_says_so(db: None, number: int, against: str | None, words: str):
    versions = [promoted_version("fruit"), registered_version("fruit", number=2)]
    judging = ask_for_judgement(versions[number], against=registered_version(against) if against else None)

    judge_pending()

    judging.refresh_from_db()
    assert judging.status == "failed"
    assert words in judging.error


def test_nothing_that_serves_is_said(db: None):
    judging = ask_for_judgement(registered_version("fruit"))

    judge_pending()

    judging.refresh_from_db()
    assert judging.error == "Nothing of fruit serves, so there is nothing to be judged against."


def test_two_clicks_are_one_judging(db: None):
    version = registered_version("fruit")

    assert ask_for_judgement(version) == ask_for_judgement(version)
    assert Judging.objects.count() == 1


def test_lost_lease_leaves_no_judgement(fruit: Any, tmp_path: Path):
    serves, candidate = fruit("flipped"), fruit("good")
    photos_to_judge(serves.model, tmp_path / "photos", each=10)
    judging = ask_for_judgement(candidate, rings=False)
    assert judging.start()

    def taken(words: str) -> None:
        if words == "Comparing":
            Judging.objects.update(attempts=2)

    with pytest.raises(LeaseLost):
        judge(judging, say=taken)
    assert not Judgement.objects.exists()
    assert Judging.objects.get().status == "running"


def say(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_command_says_every_rule(fruit: Any, tmp_path: Path):
    serves = fruit("good")
    fruit("flipped")
    photos_to_judge(serves.model, tmp_path / "photos", each=40)

    lines = say("judge", "fruit", "2").splitlines()

    assert lines[0] == "Refuse: fruit v2 against fruit v1, on fruit test part, state 1."
    assert lines[2].startswith("  NO classes: apple falls from 100.0 % to ")
    assert "  ok separate process: A fresh process loads it from its files and gives the same scores." in lines


@pytest.mark.parametrize(
    "arguments", [("fruit", "9"), ("unicorn", "1"), ("fruit", "1"), ("fruit", "2", "--against", "7")]
)
def test_command_says_no_in_words(db: None, arguments: str):
    promoted_version("fruit")
    registered_version("fruit", number=2)

    with pytest.raises(CommandError, match=r"\w+ \w+ \w+"):
        say("judge", *arguments)
