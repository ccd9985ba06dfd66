"""The desk's doors for many answers at once, for claims of users and for new classes."""

from typing import Any

import pytest
from django.test import Client

from recognizer.predictions.admin import desk_input
from recognizer.predictions.models import Feedback, Review
from recognizer.predictions.review import record
from recognizer.registry.models import Label
from tests.admin.desk_doors import DESK, REVIEWER, judge, own_picture, send, tiles
from tests.admin.rows import answered, labelled_version, staff

pytestmark = pytest.mark.django_db

# Many at once


def test_preview_says_what_would_change_and_changes_nothing(client: Client) -> None:
    version = labelled_version()
    bananas = [answered(version) for _ in range(3)]
    apple, stranger = answered(version, "apple"), answered(version, known=False)
    user = staff(client, *REVIEWER)
    record(bananas[0], verdict=Review.Verdict.REJECTED, reviewer=user)
    ids = [row.pk for row in (*bananas, apple, stranger)]

    told = send(client, "preview", {"ids": ids, "verdict": "corrected", "label": "apple"}).json()

    changes = {(change["from"], change["to"]): change["number"] for change in told["changes"]}
    assert changes == {("Banana", "Apple"): 2, ("none of my classes", "Apple"): 2, ("Apple", "Apple"): 1}
    assert (told["num_reviewed"], told["has_more"], len(told["items"])) == (1, False, 5)
    assert Review.objects.count() == 1


def test_all_that_match_are_judged_as_previewed(client: Client) -> None:
    version = labelled_version()
    rows = [answered(version), answered(version)]
    answered(version, "apple")
    staff(client, *REVIEWER)

    told = send(client, "preview", {"question": "model=fruit&label=banana", "verdict": "confirmed"}).json()
    steps = [{"do": "judge", "verdict": "confirmed", **item} for item in told["items"]]
    send(client, "steps", {"steps": steps, "bulk": True})

    assert set(Review.objects.filter(via="bulk").values_list("prediction", flat=True)) == {row.pk for row in rows}


def test_preview_ends_at_what_one_request_can_do(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    version = labelled_version()
    for _ in range(3):
        answered(version)
    monkeypatch.setattr("recognizer.predictions.admin.desk_preview.MAX_AT_ONCE", 2)
    staff(client, *REVIEWER)

    told = send(client, "preview", {"question": "", "verdict": "rejected"}).json()

    assert (len(told["items"]), told["has_more"]) == (2, True)
    assert desk_input.MAX_AT_ONCE == 500


def test_preview_to_an_unused_label_is_refused(client: Client) -> None:
    row = answered(labelled_version())
    Label.objects.filter(key="apple").update(merged_into=Label.objects.get(key="banana"))
    staff(client, *REVIEWER)

    assert send(client, "preview", {"ids": [row.pk], "verdict": "corrected", "label": "apple"}).status_code == 400


# Claims and classes


def test_claims_queue_shows_and_settles_what_users_said(client: Client) -> None:
    version = labelled_version()
    wrong, right, free = (answered(version) for _ in range(3))
    apple = Label.objects.get(key="apple")
    claims = [
        Feedback.objects.create(prediction=wrong, is_correct=False, claimed_label="Apple", label=apple),
        Feedback.objects.create(prediction=right, is_correct=True),
        Feedback.objects.create(prediction=free, is_correct=False, claimed_label="pitaya"),
    ]
    staff(client, *REVIEWER)
    shown = {tile["id"]: tile for tile in tiles(client, queue="claims")}
    assert {tile["claim"] for tile in shown.values()} == {claim.pk for claim in claims}
    assert shown[str(free.pk)]["claims"][0] == {"id": claims[2].pk, "correct": False, "says": "pitaya", "label": None}

    pairs = [("approve", wrong, claims[0]), ("refuse", right, claims[1]), ("approve", free, claims[2])]
    steps = [{"do": do, "id": row.pk, "seen": 0, "claim": claim.pk} for do, row, claim in pairs]
    results = send(client, "steps", {"steps": steps}).json()["results"]

    assert [result["done"] for result in results] == [True, True, False]
    assert [(one.verdict, one.via) for one in Review.objects.order_by("pk")] == [
        ("corrected", "claim"),
        ("rejected", "desk"),
    ]
    assert [tile["id"] for tile in tiles(client, queue="claims")] == [str(free.pk)]


def test_claims_queue_counts_decisions(client: Client) -> None:
    row = answered(labelled_version())
    Feedback.objects.bulk_create(Feedback(prediction=row, is_correct=True) for _ in range(5))
    staff(client, *REVIEWER)

    told = client.get(f"{DESK}tiles/", {"queue": "claims"}).json()

    assert (told["left"], told["total"]) == (1, 1)
    [tile] = told["tiles"]
    assert (len(tile["claims"]), tile["num_claims"]) == (3, 5)


def test_claim_about_another_recognition_is_refused(client: Client) -> None:
    version = labelled_version()
    row, other = answered(version), answered(version)
    claim = Feedback.objects.create(prediction=other, is_correct=True)
    staff(client, *REVIEWER)

    step = {"do": "approve", "id": row.pk, "seen": 0, "claim": claim.pk}
    assert not send(client, "steps", {"steps": [step]}).json()["results"][0]["done"]
    assert not Review.objects.exists()


def test_new_class_is_reviewed_into(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, *REVIEWER, "registry.add_label")

    made = send(client, "labels/new", {"model": "fruit", "english": "Dragon fruit", "chinese": "火龙果"})
    judge(client, row, "corrected", label=made.json()["key"])

    assert made.status_code == 201
    assert Review.objects.get().label.names == {"en": "Dragon fruit", "zh": "火龙果"}
    assert "dragon_fruit" in [one["key"] for one in client.get(f"{DESK}labels/", {"model": "fruit"}).json()["labels"]]


def test_new_class_takes_a_permission_and_a_name_of_its_own(client: Client) -> None:
    labelled_version()
    user = staff(client, *REVIEWER)
    assert send(client, "labels/new", {"model": "fruit", "english": "Plum"}).status_code == 403

    user.is_superuser = True
    user.save()
    for body, status in [
        ({"model": "fruit", "english": "Banana"}, 409),
        ({"model": "fruit", "english": " ? "}, 409),
        ({"model": "nope", "english": "Plum"}, 400),
        ({"english": "Plum"}, 400),
    ]:
        assert send(client, "labels/new", body).status_code == status
    assert Label.objects.count() == 2


def test_tiles_take_a_constant_number_of_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    version = labelled_version()
    for _ in range(12):
        Feedback.objects.create(prediction=own_picture(answered(version)), is_correct=False, claimed_label="pear")
    staff(client, *REVIEWER)

    with django_assert_max_num_queries(17):
        assert len(tiles(client)) == 12
