"""The page of a version beside the live answers: who may start what, what it says, and that it stays fast."""

import re
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from recognizer.predictions import agreement
from recognizer.predictions.agreement import Tally, Verdicts
from recognizer.predictions.models import Prediction, Review, SecondOpinion, Trial
from recognizer.predictions.review import record
from recognizer.predictions.trials import start_shadow
from recognizer.registry.models import Label, ModelVersion
from recognizer.registry.promotion import promote
from tests.admin.rows import answered, labelled_version, listed, said, staff
from tests.registry_rows import registered_version

pytestmark = pytest.mark.django_db
LOOKING = ("predictions.view_trial", "predictions.view_prediction")
TODAY = date(2026, 3, 7)


@pytest.fixture
def live() -> ModelVersion:
    version = labelled_version()
    promote(version, by=None)
    return version


@pytest.fixture
def candidate(live: ModelVersion) -> ModelVersion:
    return registered_version("fruit", number=2)


def opinion(row: Prediction, version: ModelVersion, answer: str, *, day: date = TODAY, **fields: Any) -> SecondOpinion:
    trial = Trial.objects.filter(version=version).first() or start_shadow(version, share=1, by=None)
    live_answer = "" if row.known is False else row.label
    said = {"answer": answer, "live_answer": live_answer, "agrees": answer == live_answer, "score": 0.6}
    return SecondOpinion.objects.create(trial=trial, version=version, prediction=row, day=day, **{**said, **fields})


def address(version: ModelVersion) -> str:
    return f"/admin/predictions/trial/version/{version.pk}/"


def page(client: Client, version: ModelVersion, **question: object) -> str:
    response = client.get(address(version), question)
    assert response.status_code == 200
    return response.content.decode()


def test_tallies_count_days_and_classes(live: ModelVersion, candidate: ModelVersion) -> None:
    other = registered_version("fruit", number=3)
    for answer, day in (("banana", 0), ("apple", 0), ("banana", 2)):
        opinion(answered(live), candidate, answer, day=TODAY + timedelta(days=day))
    opinion(answered(live, "apple"), candidate, "", day=TODAY)
    opinion(answered(live), candidate, "", day=TODAY, agrees=None, error="It failed.")
    Trial.objects.update(ended_at="2026-01-01T00:00Z")
    opinion(answered(live), other, "apple")

    days = agreement.by_day(candidate)

    assert days == [Tally(TODAY, 1, 3), Tally(TODAY + timedelta(days=2), 1, 1)]
    assert agreement.by_class(candidate) == [Tally("apple", 0, 1), Tally("banana", 2, 3)]
    assert agreement.total(days) == Tally("all", 2, 4)
    assert agreement.num_without_answer(candidate) == 1
    assert [day.num_compared for day in agreement.calendar(days)] == [3, 0, 1]


def test_calendar_shows_the_newest_days_only() -> None:
    days = [Tally(TODAY, 1, 1), Tally(TODAY + timedelta(days=400), 1, 1)]

    shown = agreement.calendar(days)

    assert len(shown) == agreement.NUM_DAYS
    assert shown[-1] == days[-1]


def test_reviews_say_who_was_right(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    judge = staff(client, *LOOKING)
    rows = [answered(live) for _ in range(4)]
    for row in rows:
        opinion(row, candidate, "apple")
    apple = Label.objects.get(key="apple")
    record(rows[0], verdict=Review.Verdict.CONFIRMED, reviewer=judge)
    record(rows[1], verdict=Review.Verdict.REJECTED, reviewer=judge)
    record(rows[1], verdict=Review.Verdict.CORRECTED, label=apple, reviewer=judge)  # the newest counts
    record(rows[2], verdict=Review.Verdict.REJECTED, reviewer=judge)

    shown = page(client, candidate)

    assert agreement.who_was_right(candidate) == Verdicts(num_live=1, num_trial=1, num_neither=1)
    for words in ("the live answer was right", "fruit v2 was right", "neither was right"):
        assert shown.count(words) >= 1


def test_none_of_my_classes_is_an_answer(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    judge = staff(client, *LOOKING)
    row = answered(live)
    opinion(row, candidate, "")
    opinion(answered(live, known=False), candidate, "")
    record(row, verdict=Review.Verdict.REJECTED, reviewer=judge)

    assert agreement.who_was_right(candidate) == Verdicts(num_live=0, num_trial=1, num_neither=0)
    assert "none of my classes" in page(client, candidate)


def test_page_says_how_often_and_shows_where(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    staff(client, *LOOKING)
    same, other = answered(live), answered(live)
    opinion(same, candidate, "banana")
    opinion(other, candidate, "apple")

    shown = page(client, candidate)

    assert "<strong>50.0%</strong>" in shown
    assert "Apple 60%" in shown
    assert f"/admin/predictions/prediction/{other.pk}/change/" in shown
    assert f"/admin/predictions/prediction/{same.pk}/change/" not in shown
    assert f"?disagrees={candidate.pk}" in shown
    assert "Start the shadow" not in shown


def test_disagreements_of_one_class(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    staff(client, *LOOKING)
    banana, apple = answered(live), answered(live, "apple")
    opinion(banana, candidate, "apple")
    opinion(apple, candidate, "banana")

    shown = page(client, candidate, label="apple")

    assert str(apple.pk) in shown
    assert str(banana.pk) not in shown
    assert "Nowhere." in page(client, candidate, label="no such")


@pytest.mark.parametrize("question", [{"p": "²"}, {"p": "99999999999999999999"}, {"label": "\x00'\"<"}, {"p": "-1"}])
def test_senseless_question_is_never_our_failure(
    client: Client, live: ModelVersion, candidate: ModelVersion, question: dict[str, str]
) -> None:
    staff(client, *LOOKING)
    opinion(answered(live), candidate, "apple")

    assert client.get(address(candidate), question).status_code == 200


def test_names_are_shown_as_text(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    staff(client, *LOOKING)
    Label.objects.filter(key="apple").update(names={"en": "<script>alert(1)</script>"})
    opinion(answered(live), candidate, "apple")

    assert "<script>alert" not in page(client, candidate)


def test_number_of_queries_does_not_grow(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    judge = staff(client, *LOOKING)

    def queries_with(number: int) -> int:
        while SecondOpinion.objects.count() < number:
            row = answered(live)
            opinion(row, candidate, "apple")
            record(row, verdict=Review.Verdict.CONFIRMED, reviewer=judge)
        with CaptureQueriesContext(connection) as captured:
            page(client, candidate)
        return len(captured)

    queries_with(2)
    few = queries_with(2)

    assert queries_with(20) == few


def test_form_starts_and_stops_a_shadow(client: Client, candidate: ModelVersion) -> None:
    user = staff(client, *LOOKING, "predictions.add_trial")

    [words] = said(client.post(address(candidate), {"do": "shadow", "percent": "25"}, follow=True))
    trial = Trial.objects.get()

    assert words == "fruit v2 looks at 25 % of new recognitions from now on, whenever a worker is idle."
    assert (trial.kind, trial.share, trial.created_by, trial.version) == ("shadow", 0.25, user, candidate)
    assert "data-waiting" in page(client, candidate)

    client.post(address(candidate), {"do": "stop", "trial": trial.pk})

    trial.refresh_from_db()
    assert trial.ended_by == user
    assert "stopped" in page(client, candidate)


def test_form_asks_for_a_replay(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    staff(client, *LOOKING, "predictions.add_trial")
    answered(live)
    answered(live, "apple")

    client.post(address(candidate), {"do": "replay", "number": "50", "label": "apple"})

    trial = Trial.objects.get()
    assert (trial.kind, trial.num_wanted, trial.label, trial.only_reviewed) == ("replay", 1, "apple", False)


@pytest.mark.parametrize(
    "given",
    [
        {"do": "shadow", "percent": "0"},
        {"do": "shadow", "percent": "101"},
        {"do": "shadow", "percent": "nan"},
        {"do": "replay", "number": "-1"},
        {"do": "replay", "number": "10", "label": "no such"},
        {"do": "replay", "number": "10"},
        {"do": "odd"},
        {},
    ],
)
def test_senseless_form_starts_nothing(client: Client, candidate: ModelVersion, given: dict[str, str]) -> None:
    staff(client, *LOOKING, "predictions.add_trial")

    assert client.post(address(candidate), given).status_code == 200
    assert not Trial.objects.exists()


def test_trial_of_another_version_is_not_stopped_here(
    client: Client, live: ModelVersion, candidate: ModelVersion
) -> None:
    staff(client, *LOOKING, "predictions.add_trial")
    trial = start_shadow(candidate, share=1, by=None)

    for number in (trial.pk, "²", "9" * 30, ""):
        assert client.post(address(live), {"do": "stop", "trial": number}).status_code == 404

    assert Trial.objects.get().is_running


def test_who_may_look_may_not_start(client: Client, candidate: ModelVersion) -> None:
    staff(client, *LOOKING)

    for given in ({"do": "shadow", "percent": "10"}, {"do": "replay", "number": "1"}, {"do": "stop", "trial": "1"}):
        assert client.post(address(candidate), given).status_code == 403
    assert client.get("/admin/predictions/trial/add/").status_code == 403
    assert not Trial.objects.exists()


@pytest.mark.parametrize("permission", ["predictions.view_trial", "predictions.view_prediction"])
def test_who_may_not_see_both_sees_nothing(client: Client, candidate: ModelVersion, permission: str) -> None:
    assert client.get(address(candidate)).status_code == 302
    staff(client, permission)

    assert client.get(address(candidate)).status_code == 403


def test_forged_version_is_not_there(client: Client, candidate: ModelVersion) -> None:
    staff(client, *LOOKING)

    for number in ("999999", "9" * 30):
        assert client.get(f"/admin/predictions/trial/version/{number}/").status_code == 404


def test_foreign_page_cannot_start_one(candidate: ModelVersion) -> None:
    client = Client(enforce_csrf_checks=True)
    staff(client, *LOOKING, "predictions.add_trial")

    assert client.post(address(candidate), {"do": "shadow", "percent": "10"}).status_code == 403
    assert not Trial.objects.exists()


def test_list_of_recognitions_finds_where_they_differ(
    client: Client, live: ModelVersion, candidate: ModelVersion
) -> None:
    staff(client, "predictions.view_prediction")
    same, other = answered(live), answered(live)
    opinion(same, candidate, "banana")
    opinion(other, candidate, "apple")

    assert listed(client, disagrees=candidate.pk) == {other}
    assert listed(client, disagrees="²") == listed(client, disagrees="9" * 30) == {same, other}


def test_desk_finds_where_they_differ(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    staff(client, *LOOKING, "predictions.add_review")
    same, other = answered(live), answered(live)
    opinion(same, candidate, "banana")
    opinion(other, candidate, "apple")
    [link] = re.findall(r'href="(/admin/predictions/prediction/desk/[^"]+)"', page(client, candidate))

    question = link.replace("&amp;", "&").partition("?")[2]

    assert client.get(f"/admin/predictions/prediction/desk/?{question}").status_code == 200
    [tile] = client.get(f"/admin/predictions/prediction/desk/tiles/?{question}").json()["tiles"]
    assert tile["id"] == str(other.pk)


def test_recognition_shows_second_opinions(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    staff(client, "predictions.view_prediction")
    row = answered(live)
    opinion(row, candidate, "apple")

    shown = client.get(f"/admin/predictions/prediction/{row.pk}/change/").content.decode()

    assert "Apple 60%" in shown
    assert address(candidate) in shown
    assert f"/admin/training/datasetsnapshot/origin/{row.pk}/" in shown


def test_list_of_trials_says_how_far_they_are(client: Client, live: ModelVersion, candidate: ModelVersion) -> None:
    staff(client, *LOOKING)
    start_shadow(candidate, share=0.1, by=None)

    shown = client.get("/admin/predictions/trial/").content.decode()

    assert "10 % of new recognitions" in shown
    assert "running" in shown
    assert address(candidate) in shown


def test_version_page_leads_to_its_trials(client: Client, candidate: ModelVersion) -> None:
    staff(client, "registry.view_modelversion", *LOOKING)

    shown = client.get(f"/admin/registry/modelversion/{candidate.pk}/change/").content.decode()

    assert address(candidate) in shown
