"""CSV: everything in it, and nothing a spreadsheet would run."""

import csv
import io

import pytest
from django.contrib.auth.models import User
from django.test import Client

from classifier_core.spreadsheets import harmless
from recognizer.predictions.exports import csv_lines
from recognizer.predictions.models import Prediction, Review
from recognizer.predictions.review import record
from tests.admin.rows import LIST, act, answered, failed, labelled_version, staff


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " ="])
def test_cells_that_look_like_formulas_are_quoted(start: str) -> None:
    assert harmless(f"{start}cmd|' /C calc'!A0").startswith("'" + start)


@pytest.mark.parametrize("value", ["banana", 0.25, "a=b", "香蕉"])
def test_other_cells_stay_as_they_are(value: object) -> None:
    assert harmless(value) == str(value)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.django_db
def test_export_streams_what_was_chosen(client: Client) -> None:
    version = labelled_version()
    user = staff(client, "predictions.view_prediction")
    row = answered(version, user=user, file_name="=1+1.jpg")
    answered(version)
    record(row, verdict=Review.Verdict.CONFIRMED, reviewer=user)

    response = act(client, "export", row)

    assert response.streaming
    assert response["Content-Disposition"].startswith('attachment; filename="recognitions-')
    text = b"".join(response.streaming_content).decode()
    assert text.startswith("\ufeffid,")
    [exported] = rows_of(text)
    assert exported["file_name"] == "'=1+1.jpg"
    expected = {"id": str(row.pk), "label": "banana", "name": "Banana", "verdict": "confirmed", "user": "reviewer"}
    assert expected.items() <= exported.items()


@pytest.mark.django_db
def test_export_across_pages_takes_all(client: Client) -> None:
    version = labelled_version()
    rows = [answered(version) for _ in range(3)]
    staff(client, "predictions.view_prediction")

    chosen = {"action": "export", "_selected_action": [rows[0].pk], "select_across": 1}
    response = client.post(f"{LIST}?label=banana", chosen)

    assert len(rows_of(b"".join(response.streaming_content).decode())) == 3


@pytest.mark.django_db
def test_rows_without_answer_or_owner_are_exported(django_assert_max_num_queries: object) -> None:
    version = labelled_version()
    failed(version.model)
    erased = answered(version, user=User.objects.create(username="someone"))
    Prediction.objects.filter(pk=erased.pk).update(status="erased", image=None, user=None)

    lines = list(csv_lines(Prediction.objects.all()))

    assert {row["status"] for row in rows_of("".join(lines))} == {"failed", "erased"}
