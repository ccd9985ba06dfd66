"""The data doctor's page: what it says, who may do what, its keyless forms, and that it stays fast."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from recognizer.predictions.models import Blob, Review
from recognizer.registry.models import Label, RegisteredModel
from recognizer.training.checkup_models import CheckUp, Finding, PhotoDecision
from recognizer.training.models import BasePhoto
from recognizer.training.tasks import check_pending
from tests.admin.rows import said, staff
from tests.training.checkup_rows import checked, flip, found, made_features, with_features  # noqa: F401
from tests.training.snapshot_rows import answered, photo_bytes, reviewed

pytestmark = pytest.mark.usefixtures("made_features")

CHECKUPS = "/admin/training/checkup/"
VIEW, DECIDE = "training.view_checkup", "training.add_photodecision"


@pytest.fixture
def checkup(fruit_rows: RegisteredModel, tmp_path: Path) -> CheckUp:
    """Of 30 apples and 30 bananas, 3 of which are apples."""
    with_features(fruit_rows, tmp_path / "fruit", each=30)
    flip(3)
    return checked(fruit_rows)


@pytest.fixture
def of_upload(fruit_rows: RegisteredModel) -> Finding:
    """One photo that two reviews name differently."""
    raw = photo_bytes(1)
    reviewed(raw, "apple"), reviewed(raw, "banana")
    return found(checked(fruit_rows), "conflict")[0]


def page(client: Client, checkup: CheckUp, **query: str) -> str:
    response = client.get(f"{CHECKUPS}{checkup.pk}/change/", query)
    assert response.status_code == 200
    return response.content.decode()


def decide(client: Client, finding: Finding, verb: str, **options: Any) -> Any:
    return client.post(f"{CHECKUPS}findings/{finding.pk}/{verb}/", {"kind": finding.kind}, **options)


def test_page_says_why_and_what_fixing_does(client: Client, checkup: CheckUp):
    staff(client, VIEW, DECIDE)

    text = page(client, checkup)

    assert text.count("Labelled Banana, looks like Apple") == 6  # in words, and as the tile's name
    assert text.count(">Label it Apple</button>") == 3
    assert re.search(r'aria-current="page"[^>]*>\s*Wrong labels\s*<span class="rz-count">3</span>', text)


def test_a_browser_without_scripts_fixes_and_undoes(client: Client, checkup: CheckUp):
    user = staff(client, VIEW, DECIDE)
    one = found(checkup, "label")[0]

    response = decide(client, one, "fix")

    assert response.url == f"{CHECKUPS}{checkup.pk}/change/?kind=label"
    assert BasePhoto.objects.get(blob=one.blob_id).label.key == "apple"
    assert PhotoDecision.objects.get().decided_by == user
    assert ">Undo</button>" in page(client, checkup, kind="decided")
    decide(client, one, "undo")
    assert BasePhoto.objects.get(blob=one.blob_id).label.key == "banana"


def test_the_script_is_told_in_json(client: Client, checkup: CheckUp):
    staff(client, VIEW, DECIDE)
    one = found(checkup, "label")[0]
    asked = {"headers": {"accept": "application/json"}}

    first, second = decide(client, one, "dismiss", **asked), decide(client, one, "fix", **asked)

    assert (first.status_code, first.json()) == (200, {"problem": ""})
    assert (second.status_code, second.json()["problem"]) == (409, "Somebody has decided about this photo already.")


def test_all_shown_are_fixed_after_a_page_that_says_what_changes(client: Client, checkup: CheckUp):
    staff(client, VIEW, DECIDE)
    chosen = {"finding": [one.pk for one in found(checkup, "label")], "kind": "label"}
    address = f"{CHECKUPS}{checkup.pk}/fix-all/"

    asking = client.post(address, chosen).content.decode()
    assert asking.count("Labelled Banana, looks like Apple: label it Apple") == 3
    assert not PhotoDecision.objects.exists()

    assert said(client.post(address, {**chosen, "answered": "yes"}, follow=True)) == ["3 fixed."]
    assert not BasePhoto.objects.filter(label__key="banana", source__startswith="apple").exists()


def test_forged_numbers_of_other_check_ups_change_nothing(client: Client, checkup: CheckUp):
    staff(client, VIEW, DECIDE)
    other = CheckUp.objects.create(model=checkup.model)
    chosen = {"finding": [found(checkup, "label")[0].pk, "9" * 30, "-1", "x"], "answered": "yes"}

    assert said(client.post(f"{CHECKUPS}{other.pk}/fix-all/", chosen, follow=True)) == ["0 fixed."]
    assert not PhotoDecision.objects.exists()
    assert client.post(f"{CHECKUPS}999999/fix-all/", chosen).status_code == 404
    assert client.post(f"{CHECKUPS}findings/999999/fix/").status_code == 404


def test_who_may_only_look_decides_nothing(client: Client, checkup: CheckUp):
    staff(client, VIEW)
    one = found(checkup, "label")[0]
    chosen = {"finding": [one.pk], "answered": "yes"}

    assert "data-fix" not in page(client, checkup)
    assert [decide(client, one, verb).status_code for verb in ("fix", "dismiss", "undo")] == [403] * 3
    assert client.post(f"{CHECKUPS}{checkup.pk}/fix-all/", chosen).status_code == 403
    assert client.get(f"{CHECKUPS}add/").status_code == 403
    assert BasePhoto.objects.get(blob=one.blob_id).label.key == "banana"


def test_who_may_not_look_sees_and_decides_nothing(client: Client, checkup: CheckUp):
    one = found(checkup, "label")[0]
    assert decide(client, one, "fix").status_code == 302  # to the login
    staff(client, DECIDE)

    assert client.get(f"{CHECKUPS}{checkup.pk}/change/").status_code == 403
    assert client.get(f"{CHECKUPS}findings/{one.pk}/one/thumbnail/").status_code == 403
    assert decide(client, one, "fix").status_code == 403
    assert client.post(f"{CHECKUPS}{checkup.pk}/fix-all/", {"finding": [one.pk]}).status_code == 403


def test_looking_at_a_link_changes_nothing(client: Client, checkup: CheckUp):
    staff(client, VIEW, DECIDE)
    one = found(checkup, "label")[0]

    assert client.get(f"{CHECKUPS}findings/{one.pk}/fix/").status_code == 405
    assert client.get(f"{CHECKUPS}{checkup.pk}/fix-all/").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(client.get("/admin/").wsgi_request.user)
    assert decide(strict, one, "fix").status_code == 403
    assert decide(client, one, "burn").status_code == 404


def test_findings_about_uploads_need_to_see_recognitions(client: Client, of_upload: Finding):
    staff(client, VIEW, DECIDE)

    assert "1 findings are about uploads, which you may not see." in page(client, of_upload.checkup)
    assert client.get(f"{CHECKUPS}findings/{of_upload.pk}/one/thumbnail/").status_code == 403
    assert decide(client, of_upload, "fix").status_code == 403


def test_labels_of_uploads_are_for_reviewers(client: Client, of_upload: Finding):
    user = staff(client, VIEW, DECIDE, "predictions.view_prediction")
    assert "data-fix" not in page(client, of_upload.checkup)
    assert decide(client, of_upload, "fix").status_code == 403
    user.delete()

    reviewer = staff(client, VIEW, DECIDE, "predictions.view_prediction", "predictions.add_review")
    assert decide(client, of_upload, "fix").status_code == 302
    assert Review.objects.first().reviewer == reviewer


def test_pictures_of_findings(client: Client, checkup: CheckUp):
    staff(client, VIEW)
    one = found(checkup, "label")[0]
    pictures = [f"{CHECKUPS}findings/{one.pk}/{which}/thumbnail/" for which in ("one", "other", "third")]

    assert [client.get(picture).status_code for picture in pictures] == [200, 404, 404]


def test_names_are_shown_as_text(client: Client, checkup: CheckUp):
    staff(client, VIEW, DECIDE)
    Label.objects.filter(key="banana").update(names={"en": "<script>alert(1)</script>"})
    chosen = {"finding": [one.pk for one in found(checkup, "label")]}

    for kind in ("label", "enough"):
        assert "<script>alert" not in page(client, checkup, kind=kind)
    assert "<script>alert" not in client.post(f"{CHECKUPS}{checkup.pk}/fix-all/", chosen).content.decode()


def test_page_says_whether_photos_are_enough(client: Client, checkup: CheckUp):
    staff(client, VIEW)

    text = page(client, checkup, kind="enough")

    assert "20 more photos of Apple would probably" in text
    assert '<polyline class="rz-known" points="' in text
    rows = re.findall(r'<td class="rz-number">(\d+)</td>', text)
    assert {str(point["photos"]) for point in checkup.curve["measured"]} <= set(rows)


def test_page_leads_to_what_is_worth_reviewing(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    staff(client, VIEW, "predictions.view_prediction")
    with_features(fruit_rows, tmp_path / "fruit", each=4)
    row = answered(photo_bytes(900))
    other = reviewed(photo_bytes(901))
    text = page(client, checked(fruit_rows), kind="enough")

    assert f"/admin/predictions/prediction/{row.pk}/change/" in text
    assert str(other.pk) not in text
    [address] = re.findall(r'href="([^"]+)">all that wait', text)
    listed = client.get(address.replace("&amp;", "&"))
    assert list(listed.context["cl"].result_list) == [row]


def test_form_asks_and_a_worker_checks(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    user = staff(client, VIEW, "training.add_checkup")
    with_features(fruit_rows, tmp_path / "fruit", each=12)

    waiting = client.post(f"{CHECKUPS}add/", {"model": fruit_rows.pk}, follow=True).content.decode()
    check_pending()

    row = CheckUp.objects.get()
    assert "It waits for a worker." in waiting
    assert (row.status, row.created_by) == ("ready", user)
    assert "data-waiting" not in page(client, row)
    assert client.get(CHECKUPS).status_code == 200


def test_many_findings_need_as_many_queries(client: Client, checkup: CheckUp):
    staff(client, VIEW, DECIDE)
    one = found(checkup, "label")[0]
    page(client, checkup)
    with CaptureQueriesContext(connection) as few:
        page(client, checkup)
    blobs = [Blob(sha256=f"{number:064}", num_bytes=1, format="JPEG", width=4, height=3) for number in range(100)]
    Blob.objects.bulk_create(blobs)
    about = {"checkup": checkup, "kind": "label", "label": "apple", "likely": "banana", "is_upload": False}
    Finding.objects.bulk_create(Finding(**about, blob=blob, rank=9 + place) for place, blob in enumerate(blobs))

    with CaptureQueriesContext(connection) as many:
        text = page(client, checkup)

    assert text.count("data-finding\n") == 24
    assert f"findings/{one.pk}/fix/" in text
    assert len(many) <= len(few)
    assert "Page 2 of 5" in page(client, checkup, page="2")
    assert "Page 5 of 5" in page(client, checkup, page="999")


def test_list_needs_as_many_queries_for_many_check_ups(client: Client, of_upload: Finding):
    staff(client, VIEW)
    client.get(CHECKUPS)
    with CaptureQueriesContext(connection) as few:
        shown = client.get(CHECKUPS).content.decode()
    assert re.search(r'data-label="To decide"[^>]*>\s*1\s*<', shown)
    assert not any('"review_next"' in query["sql"] or '"curve"' in query["sql"] for query in few)
    CheckUp.objects.bulk_create(CheckUp(model=of_upload.checkup.model, status="ready") for _ in range(9))

    with CaptureQueriesContext(connection) as many:
        client.get(CHECKUPS)

    assert len(many) == len(few)


def test_names_follow_the_readers_language(client: Client, checkup: CheckUp):
    Label.objects.filter(key="apple").update(names={"en": "Apple", "zh": "苹果"})
    Label.objects.filter(key="banana").update(names={"en": "Banana", "zh": "香蕉"})
    staff(client, VIEW, DECIDE)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-CN"

    shown = page(client, checkup)

    assert ">Label it 苹果</button>" in shown
    assert re.search(r'<p class="rz-quiet">苹果 [01]\.\d\d, 香蕉 [01]\.\d\d</p>', shown)
    assert "Banana" not in shown
