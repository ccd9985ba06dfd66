"""Looking is not erasing: what a reviewer may do to other people's recognitions."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from recognizer.predictions.models import Prediction
from tests.registry_rows import promoted_version

pytestmark = pytest.mark.django_db


def signed_in(*permissions: str) -> Client:
    user = User.objects.create_user("reviewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def somebody_elses() -> Prediction:
    failed = {"status": Prediction.Status.FAILED, "error_detail": "The worker died."}
    return Prediction.objects.create(model=promoted_version("cars").model, **failed)


def test_reviewer_sees_what_others_uploaded() -> None:
    assert signed_in("view_prediction").get(f"/api/predictions/{somebody_elses().pk}/").status_code == 200


@pytest.mark.parametrize("base", ["/api/predictions", "/predictions"])
def test_reviewer_cannot_erase_what_others_uploaded(base: str) -> None:
    client, row = signed_in("view_prediction"), somebody_elses()

    replies = client.delete(f"{base}/{row.pk}/"), client.post(f"{base}/{row.pk}/erase/")

    assert {reply.status_code for reply in replies} <= {404, 405}
    assert Prediction.objects.get().status == Prediction.Status.FAILED


@pytest.mark.parametrize("base", ["/api/predictions", "/predictions"])
def test_reviewer_cannot_retry_what_others_uploaded(base: str) -> None:
    client, row = signed_in("view_prediction"), somebody_elses()

    assert client.post(f"{base}/{row.pk}/retry/").status_code == 404
    assert Prediction.objects.get().status == Prediction.Status.FAILED


def test_staff_who_may_delete_erases_for_others() -> None:
    client, row = signed_in("delete_prediction"), somebody_elses()

    assert client.delete(f"/api/predictions/{row.pk}/").status_code == 204
    assert Prediction.objects.get().status == Prediction.Status.ERASED
