"""The first page, the menu, the policy and the look."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils.timezone import now

from recognizer.registry.models import LoadedVersion
from tests.admin.rows import LIST, answered, failed, labelled_version, pending, staff
from tests.registry_rows import promoted_version


@pytest.mark.django_db
def test_first_page_counts_what_there_is(admin_client: Client) -> None:
    version = labelled_version()
    answered(version), answered(version), failed(version.model), pending(version.model)

    figures = {figure["name"]: figure["number"] for figure in admin_client.get("/admin/").context["figures"]}

    assert figures == {"Waiting": "1", "Recognised today": "2", "Failed today": "1", "To review": "2"}


@pytest.mark.django_db
def test_figures_lead_to_the_rows_they_count(admin_client: Client) -> None:
    version = labelled_version()
    answered(version), failed(version.model), pending(version.model)

    for figure in admin_client.get("/admin/").context["figures"]:
        assert admin_client.get(figure["address"]).context["cl"].result_count == int(figure["number"])


@pytest.mark.django_db
def test_first_page_says_what_serves(admin_client: Client) -> None:
    version = promoted_version("fruit")
    assert "no worker reports" in admin_client.get("/admin/").content.decode()

    LoadedVersion.objects.create(worker="host:1", model=version.model, version=version, seen_at=now())
    assert "loaded by 1 of 1 workers" in admin_client.get("/admin/").content.decode()

    LoadedVersion.objects.update(seen_at=now() - timedelta(seconds=20))  # /readyz does not count it either
    assert "no worker reports" in admin_client.get("/admin/").content.decode()


@pytest.mark.django_db
def test_figures_need_the_permission_to_view(client: Client) -> None:
    staff(client)
    page = client.get("/admin/")

    assert "figures" not in page.context
    assert "Ask an administrator" in page.content.decode()
    assert "Recognitions" not in page.content.decode()


@pytest.mark.django_db
def test_policy_is_relaxed_in_the_admin_only(admin_client: Client) -> None:
    assert "'unsafe-eval'" in admin_client.get("/admin/")["Content-Security-Policy"]
    assert "'unsafe-eval'" in admin_client.get("/admin/login/")["Content-Security-Policy"]
    for address in ("/", "/api/models/", "/nothing-here/", "/accounts/login/"):
        assert "unsafe" not in admin_client.get(address)["Content-Security-Policy"]


@pytest.mark.django_db
@pytest.mark.parametrize("model", ["user", "group"])
def test_people_are_kept_here(admin_client: Client, model: str) -> None:
    assert admin_client.get(f"/admin/auth/{model}/").status_code == 200
    assert admin_client.get(f"/admin/auth/{model}/add/").status_code == 200


def test_dark_copies_the_shared_tokens() -> None:
    folder = Path(settings.BASE_DIR) / "static" / "recognizer"
    shared = (folder / "tokens.css").read_text().split("prefers-color-scheme: dark")[1]
    own = re.search(r":root\.dark \{(.*?)\}", (folder / "admin.css").read_text(), re.DOTALL)

    assert own is not None
    assert tokens(own[1]) == tokens(shared)


def tokens(css: str) -> dict[str, str]:
    return dict(re.findall(r"(--[\w-]+):\s*([^;]+);", css))


@pytest.mark.parametrize("name", ["admin.css", "desk.css"])
def test_admin_uses_only_tokens_that_exist(name: str) -> None:
    folder = Path(settings.BASE_DIR) / "static" / "recognizer"
    used = set(re.findall(r"var\((--[\w-]+)\)", (folder / name).read_text()))

    assert used <= set(tokens((folder / "tokens.css").read_text()))


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_pages_say_that_their_text_is_english(client: Client, language: str) -> None:
    staff(client, "predictions.view_prediction")

    response = client.get(LIST, headers={"accept-language": language})

    assert '<html lang="en"' in response.content.decode()
    assert response["Content-Language"] == "en"


@pytest.mark.django_db
def test_times_have_one_style_and_a_zone(admin_client: Client) -> None:
    version = promoted_version("fruit")

    page = admin_client.get("/admin/registry/modelversion/").content.decode()

    assert f"{version.created_at:%Y-%m-%d %H:%M}" in page
    assert f"Times are in the zone {settings.TIME_ZONE}." in page
    assert f"zone {settings.TIME_ZONE}." in admin_client.get("/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/admin/", LIST, f"{LIST}desk/", "/admin/registry/label/add/"])
def test_content_is_one_key_away(admin_client: Client, address: str) -> None:
    page = admin_client.get(address).content.decode()

    assert page.index('<a class="rz-skip" href="#content">Skip to the content</a>') < page.index("<nav")
    assert 'id="content"' in page
