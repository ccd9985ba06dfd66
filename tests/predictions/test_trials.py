"""Versions on trial: which recognitions they are asked about, when, and that live answers come first."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now

from classifier_core.errors import EngineFailed
from recognizer.predictions import blobs, second_opinions, tasks
from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Prediction, Review, SecondOpinion, Trial
from recognizer.predictions.review import record
from recognizer.predictions.trials import Selection, TrialRefused, ask_for_replay, first_id_beyond, start_shadow
from recognizer.registry import serving, standby
from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.registry.promotion import promote
from recognizer.registry.serving import ServingVersion
from recognizer.storage import StorageUnavailable
from tests.photos import photos
from tests.recognition import add_version, picture, upload
from tests.registry_rows import registered_version
from tests.tiny_artifact import MIXED_UP
from tests.trial_rows import OWNER, answered_uploads, begin_earlier, give_opinions, load_versions

pytestmark = pytest.mark.django_db


def shadow(version: ModelVersion, share: float = 1.0) -> Trial:
    return begin_earlier(start_shadow(version, share=share, by=None))


def replay(version: ModelVersion, **selection: object) -> Trial:
    return ask_for_replay(version, Selection(**selection), by=None)  # type: ignore[arg-type]


def again(trial: Trial) -> Trial:
    return Trial.objects.get(pk=trial.pk)


def test_shadow_answers_beside_and_changes_no_answer(candidate: ModelVersion):
    rows = answered_uploads(5)
    before = list(Prediction.objects.order_by("pk").values())
    shadow(candidate)

    assert give_opinions() == 5

    assert list(Prediction.objects.order_by("pk").values()) == before
    assert set(SecondOpinion.objects.values_list("prediction", flat=True)) == {row.pk for row in rows}
    assert set(SecondOpinion.objects.values_list("version", "error")) == {(candidate.pk, "")}


def test_opinion_is_what_the_version_answers_when_it_serves(candidate: ModelVersion):
    answered_uploads(3)
    shadow(candidate)
    give_opinions()
    promote(candidate, by=None, force=True, reason="test")
    serving.refresh()

    served = answered_uploads(3)

    said = SecondOpinion.objects.order_by("prediction__created_at").values_list("scores", "known", "precision")
    assert list(said) == [(row.scores, row.known, row.precision) for row in served]


def test_opinion_says_whether_it_agrees(candidate: ModelVersion):
    answered_uploads(8)
    shadow(candidate)

    give_opinions()

    for one in SecondOpinion.objects.select_related("prediction"):
        live = "" if one.prediction.known is False else one.prediction.label
        assert one.live_answer == live
        assert one.agrees == (one.answer == live)
        assert one.answer == MIXED_UP.get(live, live)
    assert set(SecondOpinion.objects.values_list("agrees", flat=True)) == {True, False}


def test_second_look_finds_nothing_new(candidate: ModelVersion):
    answered_uploads(3)
    shadow(candidate)

    assert [give_opinions(), give_opinions()] == [3, 0]


def test_shadow_looks_only_at_what_comes_after_its_start(candidate: ModelVersion):
    answered_uploads(3)
    start_shadow(candidate, share=1, by=None)

    assert give_opinions() == 0


def test_upload_that_still_waits_is_not_passed_over(candidate: ModelVersion):
    late = upload(picture(7), owner=OWNER)
    Prediction.objects.filter(pk=late.pk).update(status="running", created_at=answered_uploads(2)[0].created_at)
    shadow(candidate)
    assert give_opinions() == 0

    fields = Prediction.objects.filter(status="succeeded").values("version", "label", "score", "scores")[0]
    Prediction.objects.filter(pk=late.pk).update(status="succeeded", **fields)

    assert give_opinions() == 3


def test_somebody_who_waits_comes_first(candidate: ModelVersion):
    answered_uploads(5)
    trial = shadow(candidate)

    assert give_opinions(looks=4) == 3  # one look before the pictures, one before each
    assert again(trial).num_passed == 3

    assert give_opinions() == 2
    assert again(trial).num_passed == 5


def test_task_gives_way_to_a_pending_upload(candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    answered_uploads(5)
    shadow(candidate)
    load_versions()
    asked = []

    def answer_then_upload(rows: list[Prediction], version: ServingVersion) -> object:
        asked.append(rows)
        upload(picture(9), owner=OWNER)
        return answer(rows, version)

    answer = second_opinions.answer_images
    monkeypatch.setattr(second_opinions, "answer_images", answer_then_upload)

    tasks.second_opinions()

    assert len(asked) == 1
    assert Prediction.objects.pending().count() == 1
    assert SecondOpinion.objects.count() == 1


def test_nobody_waits_for_the_load(candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    answered_uploads(1)
    shadow(candidate)
    asked = []
    monkeypatch.setattr(standby._loader, "submit", lambda *call: asked.append(call) or _never())

    tasks.second_opinions()

    assert asked == [(standby._load, candidate)]
    assert not SecondOpinion.objects.exists()


def _never() -> object:
    from concurrent.futures import Future

    return Future()


def test_version_that_does_not_load_ends_its_trial(fruit: RegisteredModel):
    trial = shadow(add_version(fruit, "1" * 64))

    give_opinions()

    assert again(trial).ended_at
    assert again(trial).ending.startswith("It does not load: ")
    assert not standby._versions


def test_versions_no_longer_on_trial_are_let_go(candidate: ModelVersion):
    answered_uploads(1)
    trial = shadow(candidate)
    give_opinions()
    assert list(standby._versions) == [candidate.pk]

    trial.end()
    give_opinions()

    assert not standby._versions


def test_picture_that_kills_the_worker_is_passed_over(candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    answered_uploads(3)
    trial = shadow(candidate)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(second_opinions, "answer_images", die)
        with pytest.raises(Killed):
            give_opinions()

    assert give_opinions() == 0
    assert again(trial).ended_at is None


def test_version_that_cannot_answer_says_so(candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    answered_uploads(2)
    shadow(candidate)

    def fail(*_: object) -> None:
        raise EngineFailed("no")

    monkeypatch.setattr(second_opinions, "answer_images", fail)

    assert give_opinions() == 2
    assert set(SecondOpinion.objects.values_list("agrees", "answer")) == {(None, "")}
    assert all(SecondOpinion.objects.values_list("error", flat=True))


def test_storage_that_does_not_answer_now_is_asked_again(candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    answered_uploads(2)
    trial = shadow(candidate)

    def read(sha256: str) -> bytes:
        raise StorageUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(blobs, "read_once", read)
        assert give_opinions() == 0
    assert again(trial).num_passed == 0

    assert give_opinions() == 2


def test_share_is_stable_and_a_larger_one_holds_the_smaller(candidate: ModelVersion):
    answered_uploads(40)

    def asked(share: float) -> set[uuid.UUID]:
        SecondOpinion.objects.all().delete()
        trial = shadow(candidate, share)
        give_opinions()
        trial.end()
        return set(SecondOpinion.objects.values_list("prediction", flat=True))

    half, again_half, most, everything = asked(0.5), asked(0.5), asked(0.8), asked(1)

    assert half == again_half
    assert half <= most <= everything
    assert len(everything) == 40
    assert half == set(Prediction.objects.filter(pk__lt=first_id_beyond(0.5)).values_list("pk", flat=True))


def test_shares_of_random_ids_are_even():
    ids = [uuid.uuid4() for _ in range(4000)]

    assert sum(one < first_id_beyond(0.1) for one in ids) == pytest.approx(400, abs=100)


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan")])
def test_senseless_share_is_refused(candidate: ModelVersion, share: float):
    with pytest.raises(TrialRefused, match="at most 1"):
        start_shadow(candidate, share=share, by=None)


def test_what_serves_is_no_shadow(fruit: RegisteredModel):
    with pytest.raises(TrialRefused, match="serves"):
        start_shadow(fruit.desired_version(), share=1, by=None)


def test_a_model_has_one_shadow_at_a_time(candidate: ModelVersion):
    first = start_shadow(candidate, share=0.1, by=None)
    third = add_version(candidate.model, "1" * 64)

    with pytest.raises(TrialRefused, match="fruit v2 is the shadow of fruit already"):
        start_shadow(third, share=1, by=None)

    assert first.end()
    assert not first.end()
    assert start_shadow(third, share=1, by=None).is_running


def test_promoted_version_is_no_shadow_any_more(candidate: ModelVersion):
    trial = shadow(candidate)
    promote(candidate, by=None, force=True, reason="test")

    give_opinions()

    assert again(trial).ending == "It serves by now."


def test_replay_of_real_photos_shows_what_would_change(candidate: ModelVersion):
    raws = [path.read_bytes() for path in sorted(photos("fruit").rglob("*.jpg"))[:20]]
    answered_uploads(20, raws)

    trial = replay(candidate, number=20)
    assert give_opinions() == 20

    assert (again(trial).num_wanted, again(trial).num_passed) == (20, 20)
    assert again(trial).ended_at
    agreed = SecondOpinion.objects.filter(agrees=True).count()
    changed = SecondOpinion.objects.filter(agrees=False)
    assert agreed + changed.count() == 20
    assert {one.answer for one in changed} <= set(MIXED_UP.values())
    assert all(one.answer == MIXED_UP[one.live_answer] for one in changed)


def test_replay_takes_the_newest_that_fit(candidate: ModelVersion, django_user_model: type[User]):
    rows = answered_uploads(6)
    judge = django_user_model.objects.create(username="judge")
    for row in rows[:3]:
        record(row, verdict=Review.Verdict.REJECTED, reviewer=judge)

    replay(candidate, number=2, only_reviewed=True)
    give_opinions()

    assert set(SecondOpinion.objects.values_list("prediction", flat=True)) == {row.pk for row in rows[1:3]}


def test_replay_of_one_answer_looks_at_no_other(candidate: ModelVersion):
    rows = answered_uploads(8)
    label = rows[0].label

    trial = replay(candidate, label=label)
    give_opinions()

    assert trial.num_wanted == sum(row.label == label for row in rows)
    assert set(SecondOpinion.objects.values_list("prediction__label", flat=True)) == {label}


def test_replay_asks_nothing_twice(candidate: ModelVersion):
    answered_uploads(4)
    replay(candidate, number=2)
    give_opinions()

    assert replay(candidate, number=10).num_wanted == 2
    assert give_opinions() == 2
    with pytest.raises(TrialRefused, match="No recognition fits"):
        replay(candidate)


def test_two_replays_of_a_version_at_once_are_refused(candidate: ModelVersion):
    answered_uploads(2)
    trial = replay(candidate)

    with pytest.raises(TrialRefused, match="runs already"):
        replay(candidate)

    trial.end()
    assert give_opinions() == 0
    assert replay(candidate).is_running


@pytest.mark.parametrize("number", [0, -1, 10**9])
def test_senseless_number_is_refused(candidate: ModelVersion, number: int):
    with pytest.raises(TrialRefused, match="Choose between 1 and"):
        replay(candidate, number=number)


def test_other_models_are_left_alone(candidate: ModelVersion):
    answered_uploads(1)
    stranger = registered_version("birds")

    with pytest.raises(TrialRefused, match="No recognition fits"):
        replay(stranger)


def test_erasure_takes_opinions_with_it(candidate: ModelVersion):
    first, second = answered_uploads(2)
    shadow(candidate)
    give_opinions()

    erase(first, erased_by="visitor")

    assert [one.prediction for one in SecondOpinion.objects.all()] == [second]


def test_erased_meanwhile_gets_no_opinion(candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch):
    first, second = answered_uploads(2)
    shadow(candidate)
    answer = second_opinions.answer_images

    def answer_then_erase(rows: list[Prediction], version: ServingVersion) -> object:
        answers = answer(rows, version)
        erase(first, erased_by="visitor")
        return answers

    monkeypatch.setattr(second_opinions, "answer_images", answer_then_erase)

    give_opinions()

    assert [one.prediction for one in SecondOpinion.objects.all()] == [second]


def test_worker_that_lost_the_position_moves_nothing(candidate: ModelVersion):
    trial = shadow(candidate)
    other = again(trial)

    assert trial.move(now())
    assert not other.move(now())
