"""No page reads a growing table from end to end, so that a million recognitions are as good as a thousand."""

import time
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from recognizer.predictions.admin import desk_question
from recognizer.predictions.desk import Order
from recognizer.predictions.looks import look_at_new
from recognizer.predictions.models import Prediction, Review
from recognizer.predictions.review import record
from tests.admin.rows import answered, failed, labelled_version, pending
from tests.predictions.query_plans import full_scans, sent_statements, sqlite_steps
from tests.recognition import picture
from tests.registry_rows import promoted_version

pytestmark = pytest.mark.django_db

LATER = now() + timedelta(days=1)
CURSOR = f"{LATER.isoformat()}_{'f' * 32}"
HISTORY = [{}, {"after": CURSOR}, {"label": "banana"}, {"status": "failed"}, {"model": "1"}, {"unknown": "on"}]
API = [
    *({}, {"label": "banana"}, {"status": "failed"}, {"model": "fruit"}, {"version": "1"}, {"score_min": "0.9"}),
    *({"reviewed": "true"}, {"reviewed": "false"}, {"verdict": "rejected"}, {"created_before": LATER.isoformat()}),
]
LIST = [
    *({}, {"p": "2"}, {"o": "3"}, {"label": "banana"}, {"score_from": "0.2", "score_to": "0.3"}, {"version": "1"}),
    *({"model__id__exact": "1"}, {"status__exact": "failed"}, {"known": "no"}, {"verdict": "none"}),
    *({"verdict": "corrected"}, {"created_at_from": "2026-01-01"}, {"q": "banana"}, {"q": "0123"}, {"q": "IMG_0"}),
]
MANY = {"verdict": "none", "status__exact": "succeeded", "score_to": "0.5", "label": "banana"}
TILES = [
    *({"order": order} for order in Order.values),
    *({"queue": "claims"}, {"label": "banana"}, {"known": "no"}, {"verdict": "corrected"}, {"q": "IMG_0"}),
]


@pytest.fixture
def boss(monkeypatch: pytest.MonkeyPatch) -> Client:
    """An administrator, with a few recognitions of their own of every kind: more than one page of the list."""
    monkeypatch.setattr(type(admin.site.get_model_admin(Prediction)), "list_per_page", 1)
    user = User.objects.create_superuser("boss")
    version = labelled_version()
    rows = [answered(version, score=0.1 * number, user=user) for number in range(1, 10)]
    failed(version.model, user=user)
    pending(version.model, user=user)
    for row, verdict in zip(rows, ("rejected", "confirmed"), strict=False):
        record(row, verdict=Review.Verdict(verdict), reviewer=user)
    client = Client()
    client.force_login(user)
    return client


def scans_of(client: Client, address: str, query: dict[str, str]) -> dict[str, list[str]]:
    """The statements of a page that read too much."""
    with sent_statements() as sent:
        response = client.get(f"{address}?{urlencode(query)}")
    assert response.status_code == 200
    asked = [statement for statement in sent if statement.is_about_growing]
    assert asked
    return {statement.sql: scans for statement in asked if (scans := full_scans(statement))}


@pytest.mark.files  # PostgreSQL sees ten rows and plans for ten: today this way, tomorrow another
@pytest.mark.parametrize(
    ("page", "queries"),
    [
        ("history", HISTORY),
        ("api:predictions", API),
        ("admin:predictions_prediction_changelist", LIST),
        ("admin:predictions_desk_tiles", TILES),
        ("admin:index", [{}]),
    ],
)
def test_no_query_of_a_page_reads_a_whole_table(boss: Client, page: str, queries: list[dict[str, str]]):
    found = {str(query): scans_of(boss, reverse(page), query) for query in queries}

    assert not {query: scans for query, scans in found.items() if scans}


@pytest.mark.files
@pytest.mark.parametrize("order", Order.values)
def test_the_desk_of_a_large_model_goes_along_the_order(boss: Client, monkeypatch: pytest.MonkeyPatch, order: str):
    monkeypatch.setattr(desk_question, "MAX_SORTED", 1)

    assert not scans_of(boss, reverse("admin:predictions_desk_tiles"), {"order": order})


@pytest.mark.files
@pytest.mark.parametrize(
    ("page", "query", "words", "index"),
    [
        ("prediction_changelist", {"verdict": "confirmed"}, '"verdict" = ', "prediction_by_verdict"),
        ("prediction_changelist", MANY, '"label" = ', "prediction_by_label"),
        ("desk_tiles", {"verdict": "corrected"}, '"verdict" = ', "prediction_by_verdict"),
    ],
)
def test_what_says_most_is_looked_up_first(boss: Client, page: str, query: dict[str, str], words: str, index: str):
    with sent_statements() as sent:
        boss.get(f"{reverse(f'admin:predictions_{page}')}?{urlencode(query)}")

    asked = [statement for statement in sent if words in statement.sql and statement.is_about_growing]
    steps = [step for statement in asked for step in sqlite_steps(statement) if " predictions_p" in step]
    assert steps
    assert {index} == {name for step in steps for name in step.split() if name.startswith("prediction_")}


@pytest.mark.files
@pytest.mark.parametrize(
    ("page", "query"),
    [
        *(("history", query) for query in ({}, {"status": "succeeded"}, {"unknown": "on"})),
        *(("api:predictions", query) for query in ({"verdict": "rejected"}, {"reviewed": "true"})),
    ],
)
def test_own_recognitions_are_looked_up_among_own_ones(client: Client, page: str, query: dict[str, str]):
    client.force_login(User.objects.create_user("ada"))
    with sent_statements() as sent:
        client.get(f"{reverse(page)}?{urlencode(query)}")

    steps = [step for statement in sent if statement.is_about_growing for step in sqlite_steps(statement)]
    used = {name for step in steps for name in step.split() if name.startswith(("prediction_", "to_review_"))}
    assert used == {"prediction_of_user"}


@pytest.mark.files
@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("index", {}),
        ("predictions_prediction_changelist", {"verdict": "none"}),
        ("predictions_desk", {}),
        *(("predictions_desk_tiles", {"model": "fruit", "order": order}) for order in Order.values),
        ("predictions_desk_tiles", {"model": "fruit", "label": "banana"}),
        ("predictions_desk_tiles", {"model": "fruit", "known": "yes"}),
    ],
)
def test_what_is_reviewed_is_not_read_to_find_what_is_not(boss: Client, page: str, query: dict[str, str]):
    with sent_statements() as sent:
        assert boss.get(f"{reverse(f'admin:{page}')}?{urlencode(query)}").status_code == 200

    asked = [statement for statement in sent if '"verdict" IS NULL' in statement.sql]
    steps = [
        step for statement in asked for step in sqlite_steps(statement) if " predictions_p" in step or " U0" in step
    ]
    assert steps
    assert not [step for step in steps if "INDEX to_review_" not in step and "(id=?)" not in step]


def test_upload_and_work_read_no_whole_table(client: Client):
    model_id = promoted_version("fruit").model_id
    with sent_statements() as sent:
        image = SimpleUploadedFile("a.jpg", picture(), content_type="image/jpeg")
        address = f"{reverse('api:predict')}?model=fruit"
        response = client.post(address, {"image": image}, headers={"Prefer": "respond-async"})
        assert Prediction.objects.models_that_wait([model_id, model_id + 1]) == [model_id]
        (row,) = Prediction.objects.claim(limit=8, lease=timedelta(seconds=9), without=[model_id + 1])
        row.fail("undecodable", "Send another one.")
        Prediction.objects.return_expired(LATER)

    assert response.status_code == 202, response.content
    asked = [statement for statement in sent if statement.is_about_growing]
    assert len(asked) >= 5
    assert not {statement.sql: scans for statement in asked if (scans := full_scans(statement))}


def test_a_whole_scan_is_noticed(boss: Client):
    with sent_statements() as sent:
        list(Prediction.objects.filter(top_k=3).order_by("top_k")[:5])

    assert full_scans(sent[-1])


def test_the_worker_finds_what_it_has_not_looked_at_by_image(boss: Client):
    """By status, SQLite would read all answers for each picture that still waits."""
    with sent_statements() as sent:
        look_at_new(until=time.monotonic() + 10, is_busy=lambda: False)

    (search,) = [
        statement for statement in sent if "EXISTS" in statement.sql and '"look_group" IS NULL' in statement.sql
    ]
    assert full_scans(search) == []
    if connection.vendor == "sqlite":
        assert any("U0 USING INDEX predictions_prediction_image_id" in step for step in sqlite_steps(search))
