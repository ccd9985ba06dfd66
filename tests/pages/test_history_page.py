"""One's own past recognitions."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from recognizer.predictions.history import PAGE_SIZE
from recognizer.predictions.models import Prediction
from recognizer.registry.models import ModelVersion
from tests.admin.rows import answered, labelled_version, pending
from tests.pages.forms import words

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna(client: Client, django_user_model: type[User]) -> User:
    user = django_user_model.objects.create_user("anna")
    client.force_login(user)
    return user


@pytest.fixture
def version(db: None) -> ModelVersion:
    return labelled_version()


def shown(client: Client, **filters: Any) -> list[str]:
    """The ids of the page, in order."""
    response = client.get("/history/", filters)
    return [str(tile["row"].pk) for tile in response.context["tiles"]]


def ids(*rows: Prediction) -> list[str]:
    return [str(row.pk) for row in rows]


def test_newest_comes_first(client: Client, anna: User, version: ModelVersion):
    old = answered(version, user=anna, created_at=now() - timedelta(days=1))
    new = answered(version, user=anna)

    assert shown(client) == ids(new, old)


def test_tile_says_name_score_and_version(client: Client, anna: User, version: ModelVersion):
    row = answered(version, "banana", 0.873, user=anna)

    page = words(client.get("/history/"))

    assert f'href="/predictions/{row.pk}/"' in page
    assert f'src="/api/predictions/{row.pk}/thumbnail/"' in page
    for said in ("Banana", "87.3%", "fruit v1", row.created_at.isoformat()[:10]):
        assert said in page


def test_names_follow_the_language(client: Client, anna: User, version: ModelVersion):
    answered(version, "banana", user=anna)

    assert "香蕉" in words(client.get("/history/", headers={"Accept-Language": "zh-hans"}))


def test_others_are_not_shown(client: Client, anna: User, version: ModelVersion, django_user_model: type[User]):
    answered(version, user=django_user_model.objects.create_user("bert"))
    answered(version, visitor=uuid.uuid4())

    assert shown(client) == []


def test_newcomer_sees_how_to_begin(client: Client, version: ModelVersion):
    answered(version, visitor=None)

    page = words(client.get("/history/"))

    assert "Nothing here yet" in page
    assert 'class="tile"' not in page


def test_number_of_queries_stays_the_same(client: Client, anna: User, version: ModelVersion):
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get("/history/")
        return len(queries)

    for _ in range(3):
        answered(version, user=anna)
    few = count()
    for _ in range(20):
        answered(labelled_version(f"m{_}"), user=anna)

    assert count() == few


def test_pages_follow_one_another_without_gap(client: Client, anna: User, version: ModelVersion):
    moment = now()  # the same for all: the id decides
    rows = [answered(version, user=anna, created_at=moment) for _ in range(2 * PAGE_SIZE + 1)]

    seen, query = [], ""
    while True:
        response = client.get(f"/history/?{query}")
        seen += [str(tile["row"].pk) for tile in response.context["tiles"]]
        if not (query := response.context["older"]):
            break

    assert len(seen) == len(rows)
    assert set(seen) == set(ids(*rows))


def test_next_page_keeps_the_filter(client: Client, anna: User, version: ModelVersion):
    for _ in range(PAGE_SIZE + 1):
        answered(version, "banana", user=anna)
        answered(version, "apple", user=anna)

    older = client.get("/history/", {"label": "banana"}).context["older"]

    assert len(client.get(f"/history/?{older}").context["tiles"]) == 1


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "_",
        "2026-01-01_x",
        f"2026-01-01T00:00:00_{uuid.UUID(int=1).hex}",
        "9" * 500,
        f"0001-01-01T00:00:00+23:59_{uuid.UUID(int=1).hex}",
    ],
)
def test_unreadable_cursor_is_the_first_page(client: Client, anna: User, version: ModelVersion, cursor: str):
    row = answered(version, user=anna)

    assert shown(client, after=cursor) == ids(row)


@pytest.mark.parametrize(
    "filters",
    [
        {"model": "fruit"},
        {"label": "ban"},
        {"label": "香蕉"},
        {"status": "succeeded"},
        {"start": "2026-03-02"},
        {"end": "2026-03-02", "start": "2026-03-02"},
        {"unknown": "on"},
    ],
)
def test_each_filter_keeps_what_it_names(client: Client, anna: User, version: ModelVersion, filters: dict[str, str]):
    car = labelled_version("car", "apple")
    answered(car, "apple", user=anna, created_at=datetime(2026, 3, 1, 23, 59, tzinfo=UTC), known=None)
    pending(car.model, user=anna, created_at=datetime(2026, 3, 1, tzinfo=UTC))
    wanted = answered(version, "banana", user=anna, created_at=datetime(2026, 3, 2, 12, tzinfo=UTC), known=False)
    if "status" in filters:
        Prediction.objects.filter(model=car.model).update(status="pending")

    assert shown(client, **filters) == ids(wanted)


def test_last_day_is_included(client: Client, anna: User, version: ModelVersion):
    answered(version, user=anna, created_at=datetime(2026, 3, 3, tzinfo=UTC))
    wanted = answered(version, user=anna, created_at=datetime(2026, 3, 2, 23, 59, tzinfo=UTC))

    assert shown(client, end="2026-03-02") == ids(wanted)


@pytest.mark.parametrize("filters", [{"start": "soon"}, {"model": "nothing"}, {"status": "odd"}, {"end": "9999-12-31"}])
def test_odd_filter_does_not_break_the_page(client: Client, anna: User, version: ModelVersion, filters):
    answered(version, user=anna)

    assert client.get("/history/", filters).status_code == 200


def test_days_the_wrong_way_round_are_said(client: Client, anna: User):
    page = words(client.get("/history/", {"start": "2026-03-02", "end": "2026-03-01"}))

    assert "before the first one" in page


def test_filter_without_a_match_says_so(client: Client, anna: User, version: ModelVersion):
    answered(version, user=anna)

    assert "Nothing matches" in words(client.get("/history/", {"label": "zebra"}))


def test_unknown_is_said_in_words(client: Client, anna: User, version: ModelVersion):
    answered(version, "banana", 0.1, user=anna, known=False)

    page = words(client.get("/history/"))

    assert "None of my classes" in page
    assert "closest: Banana, 10.0%" in page
