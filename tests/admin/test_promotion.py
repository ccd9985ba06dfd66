"""Promote and roll back from the admin: with a reason, with the permission, through the gate."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from recognizer.registry.models import ModelVersion, Promotion
from recognizer.registry.promotion import promote, rollback
from tests.admin.rows import labelled_version, said, staff
from tests.registry_rows import promoted_version, registered_version

pytestmark = pytest.mark.django_db
MODELS, VERSIONS = "/admin/registry/registeredmodel/", "/admin/registry/modelversion/"
MAY_PROMOTE = ("registry.view_registeredmodel", "registry.view_modelversion", "registry.add_promotion")
ALLOWED = (*MAY_PROMOTE, "registry.force_promotion")


def run(client: Client, address: str, action: str, *rows: Any, **fields: Any) -> Any:
    return client.post(address, {"action": action, "_selected_action": [row.pk for row in rows], **fields}, follow=True)


def test_promoting_asks_for_a_reason_first(client: Client) -> None:
    version = registered_version("fruit")
    staff(client, *ALLOWED)

    assert "instead of nothing" in run(client, VERSIONS, "promote", version).content.decode()
    assert "This field is required" in run(client, VERSIONS, "promote", version, answered="yes").content.decode()
    assert not Promotion.objects.exists()


def test_promoting_writes_who_and_why(client: Client) -> None:
    version = registered_version("fruit")
    user = staff(client, *ALLOWED)

    assert said(run(client, VERSIONS, "promote", version, answered="yes", reason="Good.")) == [
        "fruit v1 serves from now on."
    ]
    assert Promotion.objects.filter(version=version, promoted_by=user, reason="Good.").exists()


def test_the_gates_refusal_is_a_message(client: Client) -> None:
    promoted_version("fruit")
    candidate = registered_version("fruit", number=2)
    staff(client, *ALLOWED)

    refused = run(client, VERSIONS, "promote", candidate, answered="yes", reason="Try.")
    [words] = said(refused)
    assert "Try.</textarea>" in refused.content.decode()  # what was typed is still there
    assert "never evaluated on the same photos" in words
    assert "2" not in {promotion.version.number for promotion in Promotion.objects.all()}

    run(client, VERSIONS, "promote", candidate, answered="yes", reason="Try.", force="on")
    assert Promotion.objects.first().kind == Promotion.Kind.FORCED


def test_forcing_needs_its_own_permission(client: Client) -> None:
    promoted_version("fruit")
    candidate = registered_version("fruit", number=2)
    staff(client, *MAY_PROMOTE)

    refused = run(client, VERSIONS, "promote", candidate, answered="yes", reason="Try.", force="on")

    assert said(refused) == ["You may not force a promotion. Ask an administrator who may promote past the gate."]
    assert Promotion.objects.count() == 1


def test_two_versions_at_once_are_refused(client: Client) -> None:
    versions = [registered_version("fruit"), registered_version("fruit", number=2)]
    staff(client, *ALLOWED)

    assert said(run(client, VERSIONS, "promote", *versions)) == ["Choose one version: only one can serve."]


def test_rolling_back_serves_the_previous_version(client: Client) -> None:
    first = promoted_version("fruit")
    second = registered_version("fruit", number=2)
    staff(client, *ALLOWED)
    run(client, VERSIONS, "promote", second, answered="yes", reason="Newer.", force="on")

    asked = run(client, MODELS, "roll_back", first.model).content.decode()
    assert "fruit v1 serves again, instead of fruit v2." in asked
    run(client, MODELS, "roll_back", first.model, answered="yes", reason="Worse.")

    assert first.model.desired_version() == first
    assert Promotion.objects.first().kind == Promotion.Kind.ROLLBACK


def test_rolling_back_the_first_is_refused_in_words(client: Client) -> None:
    model = promoted_version("fruit").model
    staff(client, *ALLOWED)

    [words] = said(run(client, MODELS, "roll_back", model, answered="yes", reason="Worse."))
    assert words == "No version of fruit served before fruit v1."


def test_without_the_permission_nothing_is_promoted(client: Client) -> None:
    version = registered_version("fruit")
    staff(client, *ALLOWED[:2], "registry.change_modelversion", "registry.change_registeredmodel")

    run(client, VERSIONS, "promote", version, answered="yes", reason="Mine.", force="on")

    assert not Promotion.objects.exists()


def test_first_version_is_promoted_from_every_page(client: Client) -> None:
    version = registered_version("fruit")
    staff(client, *ALLOWED, "registry.add_judgement")

    for address in (f"{VERSIONS}{version.pk}/change/", f"{MODELS}{version.model_id}/change/"):
        page = client.get(address).content.decode()
        assert "Promote fruit v1 (first)" in page
        assert "Judge against" not in page
    asked = run(client, VERSIONS, "promote", version, opened=version.pk).content.decode()
    assert "Reason (must be written)" in asked
    assert 'name="force"' not in asked
    done = run(client, VERSIONS, "promote", version, opened=version.pk, answered="yes", reason="Good.")
    assert "It serves" in done.content.decode()


@pytest.mark.parametrize("rights", [("registry.add_promotion",), ("registry.view_modelversion",)])
def test_model_s_page_offers_nothing_that_is_refused(client: Client, rights: tuple[str, ...]) -> None:
    version = registered_version("fruit")
    staff(client, "registry.view_registeredmodel", *rights)

    page = client.get(f"{MODELS}{version.model_id}/change/").content.decode()

    assert "Promote fruit v1" not in page
    link = f"{VERSIONS}{version.pk}/change/"
    assert (f'href="{link}"' in page) == (client.get(link).status_code == 200)


def test_version_s_page_has_no_button_for_who_may_only_look(client: Client) -> None:
    version = registered_version("fruit")
    staff(client, "registry.view_registeredmodel", "registry.view_modelversion")

    assert "Promote fruit v1" not in client.get(f"{VERSIONS}{version.pk}/change/").content.decode()


def test_way_forward_is_offered_after_a_rollback(client: Client) -> None:
    first = promoted_version("fruit")
    second = registered_version("fruit", number=2)
    staff(client, *ALLOWED)
    run(client, VERSIONS, "promote", second, answered="yes", reason="Newer.", force="on")
    run(client, MODELS, "roll_back", first.model, answered="yes", reason="Worse.")

    page = client.get(f"{MODELS}{first.model_id}/change/").content.decode()

    assert "No version served before fruit v1" in page
    assert f'href="{VERSIONS}{second.pk}/change/"' in page
    assert "served until" in page
    assert "Promote fruit v2…" in page


def test_way_back_stays_when_a_newer_version_comes(client: Client) -> None:
    first = promoted_version("fruit")
    promote(registered_version("fruit", number=2), by=None, force=True, reason="Newer.")
    rollback(first.model, by=None)
    third = registered_version("fruit", number=3)
    staff(client, *ALLOWED)

    page = client.get(f"{MODELS}{first.model_id}/change/").content.decode()
    assert ("Promote fruit v2…" in page, "Promote fruit v3…" in page) == (True, True)
    promote(third, by=None, force=True, reason="Newest.")
    assert "Promote fruit v2…" not in client.get(f"{MODELS}{first.model_id}/change/").content.decode()


def test_list_of_versions_says_which_serves(admin_client: Client) -> None:
    promoted_version("fruit")
    registered_version("fruit", number=2)

    page = admin_client.get(VERSIONS).content.decode()

    assert page.count(">serves</span>") == 1


def test_list_of_models_takes_constant_queries(admin_client: Client) -> None:
    promoted_version("model-0")
    few = num_queries(admin_client, MODELS)
    for number in range(1, 9):
        promoted_version(f"model-{number}")

    assert num_queries(admin_client, MODELS) == few
    assert ModelVersion.objects.count() == 9


@pytest.mark.parametrize("address", ["/admin/registry/promotion/", f"{MODELS}{{}}/change/"])
def test_gates_that_name_labels_take_constant_queries(admin_client: Client, address: str) -> None:
    version = labelled_version()
    with_gates(version, 2)
    few = num_queries(admin_client, address.format(version.model_id))
    with_gates(version, 9)

    assert num_queries(admin_client, address.format(version.model_id)) == few
    assert "9 of Banana are lost" in admin_client.get(address.format(version.model_id)).content.decode()


def with_gates(version: ModelVersion, number: int) -> None:
    for lost in range(1, number + 1):
        gate = f"{lost} of {{banana}} are lost."
        about = {"model": version.model, "version": version, "promoted_by": User.objects.get()}
        Promotion.objects.create(kind=Promotion.Kind.FORCED, gate=gate, **about)


def num_queries(client: Client, address: str) -> int:
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)
