"""Idempotency-Key: two requests with one key are one."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from recognizer.predictions.models import Prediction, UploadedImage
from recognizer.predictions.tasks import classify_pending
from recognizer.registry.models import RegisteredModel
from tests.recognition import both, picture, post

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(client: Client, django_user_model: type[User]) -> User:
    user = django_user_model.objects.create_user("anna")
    client.force_login(user)
    return user


def keyed(client: Client, raw: bytes | None = None, key: str = "k", **fields: Any) -> Any:
    return post(client, raw, headers={"Idempotency-Key": key}, **fields)


def test_same_key_is_same_prediction(client: Client, fruit: RegisteredModel, user: User):
    first, second = keyed(client), keyed(client)

    assert first.json()["id"] == second.json()["id"]
    assert Prediction.objects.count() == UploadedImage.objects.count() == 1


def test_finished_one_comes_back_finished(client: Client, fruit: RegisteredModel, user: User):
    keyed(client)
    classify_pending()

    assert keyed(client).status_code == 200


@pytest.mark.parametrize("other", [{"raw": picture(5)}, {"top_k": 3}, {"train": "true"}])
def test_key_with_another_request_is_422(client: Client, fruit: RegisteredModel, user: User, other: dict[str, Any]):
    keyed(client)

    reply = keyed(client, **other)

    assert reply.status_code == 422
    assert reply.json()["type"] == "urn:recognizer:problem:idempotency-key-reused"
    assert Prediction.objects.count() == 1


def test_key_of_nobody_is_400(client: Client, fruit: RegisteredModel):
    reply = keyed(client)

    assert reply.status_code == 400
    assert reply.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not Prediction.objects.exists()


def test_key_belongs_to_its_visitor(fruit: RegisteredModel):
    anna, bert = Client(), Client()
    post(anna, picture(1))
    post(bert, picture(1))

    assert keyed(anna).json()["id"] != keyed(bert).json()["id"]


def test_key_is_at_most_255_characters(client: Client, fruit: RegisteredModel, user: User):
    assert keyed(client, key="k" * 255).status_code == 202
    assert keyed(client, key="k" * 256).status_code == 400


def test_key_of_an_erased_one_starts_anew(client: Client, fruit: RegisteredModel, user: User):
    first = keyed(client).json()
    client.delete(first["url"])

    assert keyed(client).json()["id"] != first["id"]


@pytest.mark.postgres
def test_two_at_once_with_one_key_are_one_row(
    client: Client, transactional_db: None, fruit_rows: RegisteredModel, user
):
    replies = both(lambda: keyed(client))

    assert [reply.status_code for reply in replies] == [202, 202]
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert Prediction.objects.count() == UploadedImage.objects.count() == 1
