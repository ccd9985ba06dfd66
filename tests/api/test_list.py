"""GET /api/predictions/: own history, filters, pages, a constant number of queries."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from recognizer.predictions import review
from recognizer.predictions.models import Prediction, Review
from recognizer.registry.models import Label, RegisteredModel
from tests.recognition import add_version, picture, post, serve_tiny, undecodable, work

pytestmark = pytest.mark.django_db
URL = "/api/predictions/"


@pytest.fixture
def history(client: Client, fruit: RegisteredModel) -> list[Prediction]:
    """Six answers, oldest first."""
    for seed in range(6):
        post(client, picture(seed))
    work()
    return list(Prediction.objects.order_by("created_at"))


def ids(reply: Any) -> list[str]:
    assert reply.status_code == 200, reply.content
    return [row["id"] for row in reply.json()["results"]]


def test_own_are_listed_newest_first(client: Client, history: list[Prediction]):
    assert ids(client.get(URL)) == [str(row.pk) for row in reversed(history)]


def test_others_are_not_listed(history: list[Prediction]):
    assert ids(Client().get(URL)) == []


def test_reviewer_lists_all(history: list[Prediction], admin_client: Client):
    assert len(ids(admin_client.get(URL))) == 6


def test_nobody_lists_nobodys_rows(history: list[Prediction]):
    Prediction.objects.update(user=None, visitor=None)

    assert ids(Client().get(URL)) == []


def test_row_equals_the_single_view(client: Client, history: list[Prediction]):
    for row in client.get(URL).json()["results"]:
        assert row == client.get(row["url"]).json()


def test_pages_cover_all_once(client: Client, history: list[Prediction]):
    Prediction.objects.update(created_at=history[0].created_at)  # the hard case: all at the same instant
    url, seen = f"{URL}?page_size=2", []
    while url:
        reply = client.get(url)
        seen += ids(reply)
        url = reply.json()["next"]

    assert len(seen) == 6
    assert set(seen) == {str(row.pk) for row in history}


def test_page_back_is_the_page_before(client: Client, history: list[Prediction]):
    first = client.get(f"{URL}?page_size=2")
    second = client.get(first.json()["next"])

    assert ids(client.get(second.json()["previous"])) == ids(first)


def cursor(text: str) -> str:
    from base64 import b64encode

    return quote(b64encode(text.encode()).decode())


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        cursor("p=soon"),
        cursor("p=2026-13-45"),
        cursor("o=x&p="),
        cursor("p=\0"),
        cursor("p=0001-01-01 00:00:00+23:59"),
        cursor("p=2026-01-01 00:00:00"),
    ],
)
def test_bad_cursor_is_a_problem(client: Client, history: list[Prediction], bad: str):
    reply = client.get(f"{URL}?cursor={bad}")

    assert reply.status_code in (400, 404)
    assert reply["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("size", ["0", "-1", "x", "100000", "2²"])
def test_senseless_page_size_is_ignored(client: Client, history: list[Prediction], size: str):
    assert len(ids(client.get(f"{URL}?page_size={quote(size)}"))) == 6


def test_number_of_queries_is_constant(client: Client, history: list[Prediction], admin_user: User):
    for row in history:
        review.record(row, verdict=Review.Verdict.CONFIRMED, reviewer=admin_user)

    def queries(page_size: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(f"{URL}?page_size={page_size}")
        return len(captured)

    assert queries(1) == queries(6) <= 4


def test_filter_by_status(client: Client, history: list[Prediction]):
    post(client, undecodable())
    work()
    post(client, picture(9))

    assert len(ids(client.get(f"{URL}?status=succeeded"))) == 6
    assert len(ids(client.get(f"{URL}?status=failed"))) == 1
    assert len(ids(client.get(f"{URL}?status=pending"))) == 1
    assert client.get(f"{URL}?status=lost").status_code == 400


def test_filter_by_label(client: Client, history: list[Prediction]):
    wanted = history[0].label

    assert ids(client.get(f"{URL}?label={wanted}")) == [str(r.pk) for r in reversed(history) if r.label == wanted]
    assert ids(client.get(f"{URL}?label=nothing")) == []


def test_filter_by_model_and_version(client: Client, history: list[Prediction], tiny_store, fruit: RegisteredModel):
    serve_tiny("cars", tiny_store.name)
    post(client, model="cars")
    second = add_version(fruit, "0" * 64)
    Prediction.objects.filter(pk=history[0].pk).update(version=second)

    assert len(ids(client.get(f"{URL}?model=cars"))) == 1
    assert len(ids(client.get(f"{URL}?model=fruit"))) == 6
    assert ids(client.get(f"{URL}?model=fruit&version=2")) == [str(history[0].pk)]


def test_filter_by_review(client: Client, history: list[Prediction], admin_user: User):
    confirmed, corrected, *_ = history
    review.record(confirmed, verdict=Review.Verdict.REJECTED, reviewer=admin_user)
    review.record(confirmed, verdict=Review.Verdict.CONFIRMED, reviewer=admin_user)
    pear = Label.objects.get(key="pear")
    review.record(corrected, verdict=Review.Verdict.CORRECTED, reviewer=admin_user, label=pear)

    assert set(ids(client.get(f"{URL}?reviewed=true"))) == {str(confirmed.pk), str(corrected.pk)}
    assert len(ids(client.get(f"{URL}?reviewed=false"))) == 4
    assert ids(client.get(f"{URL}?verdict=confirmed")) == [str(confirmed.pk)]
    assert ids(client.get(f"{URL}?verdict=rejected")) == []


def test_filter_by_score(client: Client, history: list[Prediction]):
    scores = sorted(row.score for row in history)

    assert len(ids(client.get(f"{URL}?score_min={scores[3]}"))) == 3
    assert len(ids(client.get(f"{URL}?score_max={scores[1]}"))) == 2
    assert len(ids(client.get(f"{URL}?score_min={scores[1]}&score_max={scores[4]}"))) == 4


def test_filter_by_date(client: Client, history: list[Prediction]):
    middle = history[3].created_at

    assert len(ids(client.get(URL, {"created_after": middle.isoformat()}))) == 3
    assert len(ids(client.get(URL, {"created_before": middle.isoformat()}))) == 3
    assert ids(client.get(URL, {"created_after": (middle + timedelta(days=1)).isoformat()})) == []


BAD = [
    "reviewed=2", "verdict=good", "score_min=x", "score_min=nan", "score_max=inf", "version=1e999", "label=%00",
    "created_after=soon", "created_after=0001-01-01T00:00:00%2B14:00", "created_before=9999-12-31T23:59:59-14:00",
]  # fmt: skip


def test_word_that_is_neither_yes_nor_no_is_refused(client: Client, history: list[Prediction]):
    assert client.get(f"{URL}?reviewed=maybe").status_code == 400


@pytest.mark.parametrize("query", BAD)
def test_senseless_filter_is_never_our_failure(client: Client, history: list[Prediction], query: str):
    reply = client.get(f"{URL}?{query}")

    assert reply.status_code in (200, 400)
    if reply.status_code == 400:
        assert reply.json()["errors"][0]["field"] == query.split("=", maxsplit=1)[0]
