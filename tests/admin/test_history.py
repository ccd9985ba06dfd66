"""Nobody edits history here, not even a superuser; labels may be renamed, not rekeyed."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.timezone import now

from recognizer.predictions.models import Erasure, Feedback, Review
from recognizer.predictions.review import record
from recognizer.registry.models import Evaluation, Label, LoadedVersion
from recognizer.registry.promotion import promote
from tests.admin.rows import answered, labelled_version, staff
from tests.registry_rows import registered_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def addresses(admin_user: User) -> dict[str, str]:
    """The admin page of one row of every ledger."""
    version = labelled_version()
    row = answered(version, user=admin_user)
    rows = [
        row,
        version,
        record(row, verdict=Review.Verdict.CONFIRMED, reviewer=admin_user),
        Feedback.objects.create(prediction=row, is_correct=True, user=admin_user),
        Evaluation.objects.create(version=version, dataset="photos", num_images=9, accuracy=0.9),
        promote(version, by=admin_user),
        Erasure.objects.create(prediction_id=row.pk, erased_by="visitor"),
        LoadedVersion.objects.create(worker="host:1", model=version.model, version=version),
    ]
    return {item._meta.model_name: f"/admin/{item._meta.app_label}/{item._meta.model_name}/{item.pk}/" for item in rows}


LEDGERS = ["prediction", "modelversion", "review", "feedback", "evaluation", "promotion", "erasure", "loadedversion"]


@pytest.mark.parametrize("ledger", LEDGERS)
def test_ledgers_can_only_be_looked_at(ledger: str, addresses: dict[str, str], admin_client: Client) -> None:
    one = addresses[ledger]
    every = one.rsplit("/", 2)[0]

    page = admin_client.get(f"{one}change/")
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert admin_client.get(f"{every}/").status_code == 200
    assert admin_client.post(f"{one}change/", {"label": "x"}).status_code == 403
    assert admin_client.post(f"{one}delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{every}/add/").status_code == 403


@pytest.mark.parametrize("ledger", LEDGERS)
def test_nothing_is_deleted_by_a_forged_action(ledger: str, addresses: dict[str, str], admin_client: Client) -> None:
    one = addresses[ledger]
    every, _, key, _ = one.rsplit("/", 3)
    forged = {"action": "delete_selected", "_selected_action": [key], "post": "yes"}
    admin_client.post(f"{one.rsplit('/', 2)[0]}/", forged)

    assert every
    assert admin_client.get(f"{one}change/").status_code == 200


@pytest.mark.parametrize("ledger", LEDGERS)
def test_no_button_leads_to_a_log_that_is_never_kept(
    ledger: str, addresses: dict[str, str], admin_client: Client
) -> None:
    assert "/history/" not in admin_client.get(f"{addresses[ledger]}change/").content.decode()


def test_log_of_edits_is_there_once_something_was_edited(admin_client: Client) -> None:
    label = Label.objects.get(model=labelled_version().model, key="banana")
    address = f"/admin/registry/label/{label.pk}"

    assert f"{address}/history/" not in admin_client.get(f"{address}/change/").content.decode()
    admin_client.post(f"{address}/change/", {"english": "Plantain", "chinese": ""})
    assert f"{address}/history/" in admin_client.get(f"{address}/change/").content.decode()


@pytest.mark.parametrize("ledger", ["predictions/erasure", "predictions/feedback", "registry/promotion"])
def test_empty_list_offers_nothing_that_nobody_can_do(ledger: str, admin_client: Client) -> None:
    shown = admin_client.get(f"/admin/{ledger}/").content.decode()

    assert "Nothing here yet" in shown
    assert "Create a new item" not in shown
    assert "Add the first one" not in shown


def test_worker_that_no_longer_reports_is_marked(admin_client: Client) -> None:
    version = labelled_version()
    list_of_workers = "/admin/registry/loadedversion/"
    LoadedVersion.objects.create(worker="host:7", model=version.model, version=version)
    assert "no longer reports" not in admin_client.get(list_of_workers).content.decode()

    LoadedVersion.objects.update(seen_at=now() - timedelta(minutes=3))
    assert "no longer reports" in admin_client.get(list_of_workers).content.decode()


def test_one_recognition_shows_all_there_is(admin_client: Client, addresses: dict[str, str]) -> None:
    shown = admin_client.get(f"{addresses['prediction']}change/").content.decode()

    for words in (
        "Banana",
        "90.0%",
        "Apple",
        "10.0%",
        "openvino, cpu, float32",
        "2.0 ms",
        "a.jpg",
        "confirmed",
        "correct",
    ):
        assert words in shown


def test_label_names_change_and_the_key_does_not(admin_client: Client) -> None:
    label = Label.objects.get(model=labelled_version().model, key="banana")
    Label.objects.filter(pk=label.pk).update(names={"en": "Banana", "zh": "香蕉", "de": "Banane"})
    given = {"english": "Plantain", "chinese": "大蕉", "key": "apple2"}

    admin_client.post(f"/admin/registry/label/{label.pk}/change/", given)

    label.refresh_from_db()
    assert (label.key, label.names) == ("banana", {"en": "Plantain", "zh": "大蕉", "de": "Banane"})


def test_who_may_only_view_labels_renames_none(client: Client) -> None:
    label = Label.objects.get(model=labelled_version().model, key="banana")
    staff(client, "registry.view_label")

    assert client.get(f"/admin/registry/label/{label.pk}/change/").status_code == 200
    assert client.post(f"/admin/registry/label/{label.pk}/change/", {"english": "x"}).status_code == 403


def test_labels_are_found_by_either_name(admin_client: Client) -> None:
    labelled_version()
    found = admin_client.get(
        "/admin/autocomplete/",
        {"app_label": "predictions", "model_name": "review", "field_name": "label", "term": "香蕉"},
    )

    assert [row["text"] for row in found.json()["results"]] == ["Banana"]


def test_registered_model_shows_desired_and_loaded(admin_client: Client) -> None:
    version = labelled_version()
    promote(version, by=None)
    LoadedVersion.objects.create(
        worker="host:7", model=version.model, version=version, engine="openvino", seen_at=now()
    )

    for address in ("/admin/registry/registeredmodel/", f"/admin/registry/registeredmodel/{version.model_id}/change/"):
        shown = admin_client.get(address).content.decode()
        assert "fruit v1" in shown
        assert "host:7: fruit v1 openvino, seen just now" in shown


def test_model_names_are_never_edited(admin_client: Client) -> None:
    model = registered_version("fruit").model
    address = f"/admin/registry/registeredmodel/{model.pk}/change/"
    inlines = {
        f"{name}-{count}_FORMS": 0
        for name in ("loaded_versions", "versions", "promotions")
        for count in ("TOTAL", "INITIAL")
    }

    admin_client.post(address, {"name": "other", "description": "Fruit in the shop.", **inlines})

    model.refresh_from_db()
    assert (model.name, model.description) == ("fruit", "Fruit in the shop.")
