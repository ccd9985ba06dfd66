"""What strangers, staff and the machine itself are told about workers."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from recognizer.registry.models import LoadedVersion, RegisteredModel

pytestmark = pytest.mark.django_db
STRANGER = {"REMOTE_ADDR": "203.0.113.5"}


@pytest.fixture
def reports(fruit_rows: RegisteredModel) -> RegisteredModel:
    """One worker has the model loaded, another could not."""
    LoadedVersion.objects.create(worker="secrethost:17", model=fruit_rows, version=fruit_rows.versions.get())
    LoadedVersion.objects.create(worker="secrethost:18", model=fruit_rows, error="No file /srv/secret/model.onnx.")
    return fruit_rows


@pytest.mark.parametrize("route", ["/readyz", "/api/models/", "/api/models/fruit/"])
def test_strangers_see_workers_by_number(client: Client, reports: RegisteredModel, route: str):
    told = client.get(route, **STRANGER)

    assert "secret" not in told.content.decode()
    assert '"worker": "1"' in told.content.decode().replace('":"', '": "')


def test_strangers_hear_that_there_is_an_error(client: Client, reports: RegisteredModel):
    assert client.get("/readyz", **STRANGER).json()["models"][0]["errors"] == [
        "A worker cannot load this version. Staff see why."
    ]


def test_staff_and_this_machine_see_names_and_reasons(
    client: Client, reports: RegisteredModel, admin_client: Client, settings: Any
):
    for told in (client.get("/readyz"), admin_client.get("/readyz", **STRANGER)):
        assert "secrethost:17" in told.content.decode()
        assert "model.onnx" in told.content.decode()
    assert "secrethost:17" in admin_client.get("/api/models/", **STRANGER).content.decode()

    settings.RECOGNIZER_TRUSTED_PROXY = "10.0.0.1"
    assert "secret" not in client.get("/readyz").content.decode()


def test_an_ordinary_user_is_a_stranger(client: Client, reports: RegisteredModel, django_user_model: type[User]):
    client.force_login(django_user_model.objects.create_user("anna"))

    assert "secret" not in client.get("/api/models/fruit/", **STRANGER).content.decode()
