"""The desk's doors: who may enter, what they tell, and what they refuse to do."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from recognizer.predictions.models import Feedback, Review
from recognizer.predictions.review import record
from recognizer.registry.models import Label
from tests.admin.desk_doors import DESK, REVIEWER, judge, own_picture, send, tiles
from tests.admin.rows import answered, labelled_version, staff

pytestmark = pytest.mark.django_db


# Who may enter


@pytest.mark.parametrize("permissions", [(), ("predictions.view_prediction",), ("predictions.add_review",)])
def test_without_both_permissions_every_door_is_shut(client: Client, permissions: tuple[str, ...]) -> None:
    row = answered(labelled_version())
    staff(client, *permissions)

    for door in ("", "tiles/", "labels/"):
        assert client.get(f"{DESK}{door}").status_code == 403
    for door in ("steps", "preview", "labels/new"):
        assert send(client, door, {"steps": [{"do": "judge", "id": row.pk, "seen": 0}]}).status_code == 403
    assert not Review.objects.exists()


def test_who_is_no_staff_is_sent_to_sign_in(client: Client, django_user_model: type[User]) -> None:
    client.force_login(django_user_model.objects.create_user("visitor", is_superuser=True))

    assert client.get(f"{DESK}tiles/").status_code == 302
    assert send(client, "steps", {}).status_code == 302


def test_verdict_without_csrf_token_is_refused() -> None:
    row = answered(labelled_version())
    client = Client(enforce_csrf_checks=True)
    staff(client, *REVIEWER)

    response = send(client, "steps", {"steps": [{"do": "judge", "id": row.pk, "seen": 0, "verdict": "confirmed"}]})

    assert response.status_code == 403
    assert not Review.objects.exists()


def test_desk_is_in_the_menu_of_reviewers_only(client: Client) -> None:
    answered(labelled_version())
    user = staff(client, *REVIEWER)
    assert "1</strong> to review" in client.get("/admin/").content.decode()
    assert client.get(DESK).status_code == 200

    user.user_permissions.clear()
    assert DESK not in client.get("/admin/").content.decode()


def test_desk_without_any_model_says_so(client: Client) -> None:
    staff(client, *REVIEWER)

    assert "There is no model yet" in client.get(DESK).content.decode()


# What is shown


def test_tile_tells_what_is_needed_to_judge(client: Client) -> None:
    row = answered(labelled_version(), score=0.75)
    staff(client, *REVIEWER)

    [tile] = tiles(client)

    assert (tile["name"], tile["score"], tile["known"], tile["review"]) == ("Banana", 0.75, True, None)
    assert tile["members"] == [{"id": str(row.pk), "seen": 0}]
    assert tile["thumbnail"] == f"/api/predictions/{row.pk}/thumbnail/"


def test_near_duplicates_with_one_answer_are_one_tile(client: Client) -> None:
    version = labelled_version()
    alike = [own_picture(answered(version), group=7) for _ in range(3)]
    own_picture(answered(version, "apple"), group=7)
    own_picture(answered(version), group=8)
    staff(client, *REVIEWER)

    shown = tiles(client, order="newest")

    assert [len(tile["members"]) for tile in shown] == [1, 1, 3]
    assert {member["id"] for member in shown[2]["members"]} == {str(row.pk) for row in alike}


def test_orders_put_first_what_they_promise(client: Client) -> None:
    version = labelled_version("fruit", "apple", "banana", "plum")
    clear = own_picture(answered(version, "banana", 0.95))
    close = own_picture(answered(version, "banana", 0.52))
    low = own_picture(answered(version, "plum", 0.4, scores=[["plum", 0.4], ["apple", 0.01]]))
    stranger = own_picture(answered(version, "apple", 0.9, known=False))
    disputed = own_picture(answered(version, "plum", 0.99))
    Feedback.objects.create(prediction=disputed, is_correct=False, claimed_label="pear")
    staff(client, *REVIEWER)

    def first(order: str, number: int = 1) -> list[str]:
        return [tile["id"] for tile in tiles(client, order=order)][:number]

    assert first("useful", 2) == [str(disputed.pk), str(close.pk)]
    assert first("newest") == [str(disputed.pk)]
    assert first("score") == [str(low.pk)]
    assert first("label") == [str(stranger.pk)]
    assert first("reported") == [str(disputed.pk)]
    assert first("useful", 5)[-1] == str(clear.pk)


def test_near_duplicates_that_differ_are_useful(client: Client) -> None:
    version = labelled_version()
    own_picture(answered(version, score=0.9))
    split = [own_picture(answered(version, label, 0.95), group=3) for label in ("banana", "apple")]
    staff(client, *REVIEWER)

    assert {tile["id"] for tile in tiles(client)[:2]} == {str(row.pk) for row in split}


def test_filters_are_those_of_the_list(client: Client) -> None:
    version = labelled_version()
    low, high = own_picture(answered(version, "apple", 0.4)), own_picture(answered(version, "banana", 0.9))
    other = own_picture(answered(labelled_version("cars", "lorry"), "lorry"))
    staff(client, *REVIEWER)

    def shown(**question: Any) -> set[str]:
        return {tile["id"] for tile in tiles(client, **{"model": "fruit", **question})}

    assert shown() == {str(low.pk), str(high.pk)}
    assert shown(model="cars") == {str(other.pk)}
    assert shown(label="苹果") == shown(label="apple") == shown(score_to="50") == {str(low.pk)}
    assert shown(q=str(high.pk)[:13]) == shown(score_from="0.5") == {str(high.pk)}
    assert shown(known="no") == shown(version="9") == shown(created_at_to="2001-01-01") == set()


def test_reviewed_ones_are_shown_when_asked_for(client: Client) -> None:
    row = answered(labelled_version())
    user = staff(client, *REVIEWER)
    review = record(row, verdict=Review.Verdict.CONFIRMED, reviewer=user)
    assert tiles(client) == []

    [tile] = tiles(client, verdict="confirmed")

    assert tile["members"] == [{"id": str(row.pk), "seen": review.pk}]
    assert tile["review"]["reviewer"] == "reviewer"


@pytest.mark.parametrize(
    "question",
    [{"order": "best"}, {"model": "nope"}, {"version": "x"}, {"created_at_from": "monday"}, {"offset": "-1"}],
)
def test_senseless_questions_are_refused_in_words(client: Client, question: dict[str, str]) -> None:
    labelled_version()
    staff(client, *REVIEWER)

    response = client.get(f"{DESK}tiles/", question)

    assert response.status_code == 400
    assert client.get(DESK, question).status_code == 200


def test_next_page_goes_on_where_the_first_ended(client: Client) -> None:
    version = labelled_version()
    rows = [own_picture(answered(version)) for _ in range(4)]
    staff(client, *REVIEWER)

    assert [tile["id"] for tile in tiles(client, order="newest", offset=3)] == [str(rows[0].pk)]


def test_left_counts_what_has_no_verdict(client: Client) -> None:
    version = labelled_version()
    row, _ = answered(version), answered(version)
    record(row, verdict=Review.Verdict.REJECTED, reviewer=staff(client, *REVIEWER))

    told = client.get(f"{DESK}tiles/").json()

    assert (told["left"], told["total"]) == (1, 2)


# What is done


def test_verdicts_write_reviews_that_name_the_desk(client: Client) -> None:
    version = labelled_version()
    rows = [answered(version) for _ in range(3)]
    user = staff(client, *REVIEWER)

    judge(client, rows[0])
    judge(client, rows[1], "corrected", label="apple")
    judge(client, rows[2], "rejected")

    newest = {review.prediction_id: review for review in Review.objects.newest()}
    found = [newest[row.pk] for row in rows]
    assert [(one.verdict, one.label and one.label.key) for one in found] == [
        ("confirmed", "banana"),
        ("corrected", "apple"),
        ("rejected", None),
    ]
    assert {(one.via, one.reviewer, one.previous_label) for one in found} == {("desk", user, "banana")}


def test_one_refusal_does_not_hold_up_the_others(client: Client) -> None:
    version = labelled_version()
    rows = [answered(version), answered(version)]
    staff(client, *REVIEWER)
    steps = [
        {"do": "judge", "id": pk, "seen": 0, "verdict": "confirmed"} for pk in (rows[0].pk, uuid.uuid4(), rows[1].pk)
    ]

    results = send(client, "steps", {"steps": steps}).json()["results"]

    assert [result["done"] for result in results] == [True, False, True]
    assert results[1]["detail"] == "This recognition is not there any more."


def test_second_reviewer_hears_who_was_first(client: Client) -> None:
    row = answered(labelled_version())
    ada = User.objects.create(username="ada")
    staff(client, *REVIEWER)
    theirs = record(row, verdict=Review.Verdict.CORRECTED, reviewer=ada, label=Label.objects.get(key="apple"))

    response = send(client, "steps", {"steps": [{"do": "judge", "id": row.pk, "seen": 0, "verdict": "confirmed"}]})

    assert response.status_code == 409
    [result] = response.json()["results"]
    assert (result["done"], result["seen"]) == (False, theirs.pk)
    assert (result["review"]["reviewer"], result["review"]["name"]) == ("ada", "Apple")
    assert Review.objects.get() == theirs
    assert judge(client, row, seen=theirs.pk)["done"]


def test_undo_writes_one_more_row(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER)
    done = judge(client, row)

    step = {"do": "undo", "id": row.pk, "seen": done["seen"], "review": done["seen"]}
    [result] = send(client, "steps", {"steps": [step]}).json()["results"]

    assert (result["done"], result["review"]) == (True, None)
    assert [review.verdict for review in row.reviews.all()] == ["withdrawn", "confirmed"]
    assert len(tiles(client)) == 1


def test_nobody_undoes_what_another_one_decided(client: Client) -> None:
    row = answered(labelled_version())
    theirs = record(row, verdict=Review.Verdict.CONFIRMED, reviewer=User.objects.create(username="ada"))
    staff(client, *REVIEWER)

    step = {"do": "undo", "id": row.pk, "seen": theirs.pk, "review": theirs.pk}
    [result] = send(client, "steps", {"steps": [step]}).json()["results"]

    assert (result["done"], result["detail"]) == (False, "Only your own verdicts can be taken back here.")
    assert Review.objects.get() == theirs


def test_label_of_another_model_is_refused(client: Client) -> None:
    row = answered(labelled_version())
    labelled_version("cars", "lorry")
    staff(client, *REVIEWER)

    assert "has no label 'lorry'" in judge(client, row, "corrected", label="lorry")["detail"]
    assert not Review.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "[" * 100_000,
        {},
        {"steps": []},
        {"steps": [{"do": "judge", "id": "x", "seen": 0, "verdict": "confirmed"}]},
        {"steps": [{"do": "judge", "id": uuid.UUID(int=1), "seen": 0}]},
        {"steps": [{"do": "judge", "id": uuid.UUID(int=1), "seen": -1, "verdict": "confirmed"}]},
        {"steps": [{"do": "judge", "id": uuid.UUID(int=1), "seen": 2**70, "verdict": "confirmed"}]},
        {"steps": [{"do": "judge", "id": uuid.UUID(int=1), "seen": 0, "verdict": "withdrawn"}]},
        {"steps": [{"do": "erase", "id": uuid.UUID(int=1), "seen": 0}]},
        {"steps": [{"do": "undo", "id": uuid.UUID(int=1), "seen": 0}]},
        {"steps": [{"do": "judge", "id": uuid.UUID(int=1), "seen": 0, "verdict": "confirmed"}] * 501},
    ],
)
def test_malformed_steps_do_nothing(client: Client, body: Any) -> None:
    answered(labelled_version())
    staff(client, *REVIEWER)

    assert send(client, "steps", body).status_code == 400
    assert not Review.objects.exists()


def test_a_model_name_that_no_database_keeps_is_refused(client: Client) -> None:
    staff(client, *REVIEWER)

    response = client.get(f"{DESK}labels/", {"model": "fruit\0"})

    assert (response.status_code, response.json()["detail"]) == (400, "No model has such a name.")
