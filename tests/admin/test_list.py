"""The list of recognitions: what it shows, finds and costs."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from recognizer.predictions.admin import filters
from recognizer.predictions.models import Prediction, Review
from recognizer.predictions.review import record
from recognizer.registry.models import Label
from tests.admin.rows import LIST, answered, failed, labelled_version, listed, pending, staff
from tests.registry_rows import registered_version

pytestmark = pytest.mark.django_db


def page(client: Client, **question: object) -> str:
    return client.get(LIST, question).content.decode()


def test_list_shows_what_a_reviewer_needs(client: Client) -> None:
    row = answered(labelled_version(), visitor=uuid.uuid4(), known=False)
    staff(client, "predictions.view_prediction")

    shown = page(client)

    for words in ("Banana", "90.0%", "fruit v1", "succeeded", "visitor", "none of my classes", "a.jpg"):
        assert words in shown
    assert f"/api/predictions/{row.pk}/thumbnail/" in shown


def test_names_follow_the_readers_language(client: Client) -> None:
    answered(labelled_version())
    staff(client, "predictions.view_prediction")

    assert "香蕉" in client.get(LIST, headers={"Accept-Language": "zh-hans"}).content.decode()


def test_newest_verdict_is_shown(client: Client) -> None:
    version = labelled_version()
    row = answered(version)
    user = staff(client, "predictions.view_prediction")
    record(row, verdict=Review.Verdict.REJECTED, reviewer=user)
    apple = Label.objects.get(key="apple")
    record(row, verdict=Review.Verdict.CORRECTED, reviewer=user, label=apple)

    assert "→ Apple" in page(client)


def test_number_of_queries_does_not_grow(client: Client) -> None:
    version = labelled_version()
    user = staff(client, "predictions.view_prediction")
    record(answered(version, user=user), verdict=Review.Verdict.CONFIRMED, reviewer=user)
    few = queries_with(5, client=client, version=version, user=user)

    assert queries_with(50, client=client, version=version, user=user) == few


def queries_with(number: int, *, client: Client, version: object, user: object) -> int:
    while Prediction.objects.count() < number:
        record(answered(version, user=user), verdict=Review.Verdict.CONFIRMED, reviewer=user)
    client.get(LIST)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(LIST)
    assert response.context["cl"].result_count == number
    return len(captured)


def test_without_permission_nothing_is_shown(client: Client) -> None:
    staff(client)

    assert client.get(LIST).status_code == 403


def test_label_filter_takes_key_or_row(client: Client) -> None:
    version = labelled_version()
    banana, _ = answered(version), answered(version, "apple")
    staff(client, "predictions.view_prediction")

    assert listed(client, label="banana") == {banana}
    assert listed(client, label=Label.objects.get(key="banana").pk) == {banana}
    assert listed(client, label="") == set(Prediction.objects.all())
    assert listed(client, label="no-such-label") == set()


def test_label_key_may_be_a_number(client: Client) -> None:
    version = labelled_version("digits", "2", "1")
    one, two = answered(version, "1"), answered(version, "2")
    staff(client, "predictions.view_prediction")

    assert listed(client, label="key:1") == {one}
    assert listed(client, label=Label.objects.get(key="2").pk) == {two}


@pytest.mark.parametrize(
    "question",
    [
        {"label": "²"},
        {"version": "²"},
        {"version": "9" * 5000},
        {"label": "9" * 30},
        {"created_at_to": "9999-12-31"},
        {"created_at_from": "0001-01-01"},
    ],
)
def test_senseless_filter_is_never_our_failure(client: Client, question: dict[str, str]) -> None:
    answered(labelled_version())
    staff(client, "predictions.view_prediction")

    listed(client, **question)


def test_score_filter_takes_shares_and_percent(client: Client) -> None:
    version = labelled_version()
    low, _, high = answered(version, score=0.1), answered(version, score=0.5), answered(version, score=0.95)
    staff(client, "predictions.view_prediction")

    assert listed(client, score_to="0.4") == {low}
    assert listed(client, score_from="90", score_to="100") == {high}
    assert len(listed(client, score_from="nonsense")) == 3


def test_status_known_model_and_version_filters(client: Client) -> None:
    version, other = labelled_version(), labelled_version("cars", "car")
    fruit, strange = answered(version), answered(version, known=False)
    car, broken = answered(other, "car"), failed(other.model)
    staff(client, "predictions.view_prediction")

    assert listed(client, status__exact="failed") == {broken}
    assert listed(client, known="no") == {strange}
    assert listed(client, model__id__exact=other.model_id) == {car, broken}
    assert listed(client, version=version.pk) == {fruit, strange}
    assert len(listed(client, version="x", known="x", verdict="x")) == 4


def test_verdict_filter_goes_by_the_newest_review(client: Client) -> None:
    version = labelled_version()
    changed, confirmed, fresh = answered(version), answered(version), answered(version)
    pending(version.model)
    user = staff(client, "predictions.view_prediction")
    record(changed, verdict=Review.Verdict.CONFIRMED, reviewer=user)
    record(changed, verdict=Review.Verdict.REJECTED, reviewer=user)
    record(confirmed, verdict=Review.Verdict.CONFIRMED, reviewer=user)

    assert listed(client, verdict="confirmed") == {confirmed}
    assert listed(client, verdict="rejected") == {changed}
    assert listed(client, verdict="none") == {fresh}


def test_date_filter_includes_both_days(client: Client) -> None:
    version = labelled_version()
    old = answered(version, created_at=now() - timedelta(days=10))
    answered(version)
    staff(client, "predictions.view_prediction")
    day = old.created_at.date().isoformat()

    assert listed(client, created_at_from=day, created_at_to=day) == {old}
    assert len(listed(client, created_at_from="nonsense")) == 2


def test_search_finds_id_label_and_file(client: Client) -> None:
    version = labelled_version()
    row = answered(version, file_name="Holiday in Rome.JPG", id=uuid.UUID("c0ffee00-0000-4000-8000-000000000001"))
    answered(version, "apple", id=uuid.UUID("0000beef-0000-4000-8000-000000000001"))
    staff(client, "predictions.view_prediction")

    for term in (str(row.pk), "c0ff", "c0ffee00-0000", "banana", "香蕉", "BANAN", "rome.jpg", " holiday "):
        assert listed(client, q=term) == {row}, term
    assert listed(client, q="no such thing") == set()
    assert len(listed(client, q="   ")) == 2


def test_file_names_are_searched_in_the_newest_uploads(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MAX_FILES_SEARCHED", 2)
    staff(client, "predictions.view_prediction")
    version = labelled_version()
    rows = [answered(version, file_name="holiday.jpg") for _ in range(3)]

    assert listed(client, q="holiday") == set(rows[1:])


def test_search_for_an_id_reads_no_other_rows(client: Client) -> None:
    row = answered(labelled_version())
    staff(client, "predictions.view_prediction")
    with CaptureQueriesContext(connection) as captured:
        listed(client, q=str(row.pk)[:8])

    sql = next(query["sql"] for query in captured if '"decode_ms"' in query["sql"])
    assert '"id" >= ' in sql
    assert 'predictions_prediction"."id" LIKE' not in sql


def test_counting_stops_at_a_cap(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    version = labelled_version()
    for _ in range(4):
        answered(version)
    monkeypatch.setattr("recognizer.predictions.admin.filters.CappedPaginator.max_counted", 3)
    staff(client, "predictions.view_prediction")

    assert "or more" in page(client)


def test_a_picture_that_cannot_be_shown_is_not_asked_for(client: Client) -> None:
    model = registered_version("fruit").model
    row = failed(model, error_code="undecodable")
    staff(client, "predictions.view_prediction")

    assert str(row.pk) in (shown := page(client))
    assert "/thumbnail/" not in shown
