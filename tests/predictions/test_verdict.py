"""The verdict beside a recognition is that of its newest review, whichever way that was written."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Feedback, Prediction, Review
from recognizer.predictions.review import Overtaken, approve, record, refuse, repeat_verdicts, undo
from recognizer.predictions.sweeping import sweep_part
from recognizer.registry.models import Label
from tests.admin.desk_doors import judge, send
from tests.admin.rows import LIST, act, answered, labelled_version, page_fields
from tests.predictions.test_claim import at_once

pytestmark = pytest.mark.django_db
CLAIMS = "/admin/predictions/feedback/"
Verdict = Review.Verdict


@pytest.fixture
def boss(client: Client) -> User:
    user = User.objects.create_superuser("boss")
    client.force_login(user)
    return user


@pytest.fixture
def rows(db: None) -> list[Prediction]:
    """Six answers `banana` of a model that knows apples and bananas, too."""
    version = labelled_version()
    return [answered(version) for _ in range(6)]


def stored() -> dict[Any, str]:
    return dict(Prediction.objects.reviewed().values_list("pk", "verdict"))


def counted() -> dict[Any, str]:
    """What the reviews themselves say, by their numbers."""
    last = dict(Review.objects.order_by("pk").values_list("prediction", "verdict"))
    return {prediction: verdict for prediction, verdict in last.items() if verdict != Verdict.WITHDRAWN}


def claim(row: Prediction, *, is_correct: bool = False) -> Feedback:
    apple = None if is_correct else Label.objects.get(key="apple")
    return Feedback.objects.create(prediction=row, is_correct=is_correct, claimed_label="apple", label=apple)


def step(do: str, row: Prediction, **more: Any) -> dict[str, Any]:
    return {"do": do, "id": row.pk, "seen": more.pop("seen", 0), **more}


def by_list(client: Client, rows: list[Prediction]) -> None:
    act(client, "confirm", *rows)
    seen = {name: values for name, values in page_fields(client, LIST).items() if name.startswith("seen")}
    act(client, "reject", *rows[:2], **seen)
    act(client, "correct", rows[5], label=Label.objects.get(key="apple").pk, answered="yes", **seen)


def by_claims(client: Client, rows: list[Prediction]) -> None:
    claims = [claim(row, is_correct=number > 2).pk for number, row in enumerate(rows)]
    client.post(CLAIMS, {"action": "approve", "_selected_action": claims, "index": 0})


def by_desk(client: Client, rows: list[Prediction]) -> None:
    first = judge(client, rows[0])["seen"]
    judge(client, rows[1], "corrected", label="apple")
    send(client, "steps", {"steps": [step("approve", rows[2], claim=claim(rows[2]).pk)]})
    send(client, "steps", {"steps": [step("refuse", rows[3], claim=claim(rows[3]).pk)]})
    send(client, "steps", {"steps": [step("undo", rows[0], seen=first, review=first)]})


def by_desk_at_once(client: Client, rows: list[Prediction]) -> None:
    send(client, "steps", {"bulk": True, "steps": [step("judge", row, verdict="rejected") for row in rows]})


def by_withdrawing(client: Client, rows: list[Prediction]) -> None:
    user = User.objects.get()
    for row in rows[:3]:
        record(row, verdict=Verdict.CONFIRMED, reviewer=user)
    record(rows[0], verdict=Verdict.WITHDRAWN, reviewer=user)
    again = record(rows[1], verdict=Verdict.REJECTED, reviewer=user)
    undo(again, reviewer=user, seen=again.pk)


def by_erasing(client: Client, rows: list[Prediction]) -> None:
    by_desk_at_once(client, rows)
    erase(rows[0], erased_by="visitor")


@pytest.mark.parametrize(
    ("way", "num_reviews", "num_counting"),
    [
        (by_list, 9, 6),
        (by_claims, 6, 6),
        (by_desk, 5, 3),
        (by_desk_at_once, 6, 6),
        (by_withdrawing, 6, 2),
        (by_erasing, 6, 6),
    ],
)
def test_every_way_to_judge_keeps_it(
    client: Client,
    boss: User,
    rows: list[Prediction],
    way: Callable[[Client, list[Prediction]], None],
    num_reviews: int,
    num_counting: int,
):
    way(client, rows)

    assert Review.objects.count() == num_reviews
    assert len(stored()) == num_counting
    assert stored() == counted() == dict(Review.objects.newest().values_list("prediction", "verdict"))


@pytest.mark.django_db(transaction=True)
def test_of_verdicts_at_once_the_last_one_counts(rows: list[Prediction]):
    ada = User.objects.create(username="ada")
    said = [Verdict.CONFIRMED, Verdict.REJECTED, Verdict.CONFIRMED, Verdict.REJECTED]

    def judge_it() -> None:
        record(rows[0], verdict=said.pop(), reviewer=ada)

    at_once(4, judge_it)

    assert Review.objects.count() == 4
    assert stored() == counted() != {}


def test_what_the_web_of_before_wrote_is_repeated(rows: list[Prediction], boss: User):
    for row in rows[:4]:
        record(row, verdict=Verdict.REJECTED, reviewer=boss)
    for row, verdict in zip(rows[2:], ("confirmed", "withdrawn", "corrected"), strict=False):
        Review.objects.create(prediction=row, verdict=verdict, reviewer=boss)
    assert stored() != counted()

    sweep_part(0)

    assert stored() == counted()
    assert repeat_verdicts() == 0


def test_a_refused_verdict_changes_nothing(rows: list[Prediction], boss: User):
    record(rows[0], verdict=Verdict.REJECTED, reviewer=boss)

    with pytest.raises(Overtaken):
        approve(claim(rows[0]), reviewer=boss, seen=0)
    with pytest.raises(Overtaken):
        refuse(claim(rows[0]), reviewer=boss, seen=0)

    assert stored() == counted() == {rows[0].pk: "rejected"}


@pytest.mark.django_db(transaction=True)
def test_rows_from_before_are_filled_in(client: Client, boss: User, rows: list[Prediction]):
    by_withdrawing(client, rows)
    before = stored()

    call_command("migrate", "predictions", "0006", verbosity=0)
    call_command("migrate", verbosity=0)

    assert stored() == before == counted() != {}
