"""Recognitions, and people with exactly the permissions a test names."""

from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from recognizer.predictions.models import Blob, Prediction, UploadedImage
from recognizer.registry.models import Label, ModelVersion, RegisteredModel
from tests.registry_rows import registered_version

LIST = "/admin/predictions/prediction/"


def labelled_version(model_name: str = "fruit", *keys: str) -> ModelVersion:
    """A version of a model that has these labels."""
    version = registered_version(model_name)
    add_labels(version.model, *(keys or ("apple", "banana")))
    return version


def add_labels(model: RegisteredModel, *keys: str) -> None:
    names = {"banana": "香蕉", "apple": "苹果"}
    Label.objects.bulk_create(
        Label(model=model, key=key, names={"en": key.title(), "zh": names.get(key, "")}) for key in keys
    )


def pending(model: RegisteredModel, *, file_name: str = "a.jpg", **fields: Any) -> Prediction:
    """A waiting recognition; its picture has no bytes on disk."""
    blob, _ = Blob.objects.get_or_create(
        sha256="0" * 64, defaults={"num_bytes": 10, "format": "JPEG", "width": 4, "height": 3}
    )
    owner = {name: fields.get(name) for name in ("user", "visitor")}
    image = UploadedImage.objects.create(blob=blob, file_name=file_name, **owner)
    return Prediction.objects.create(image=image, model=model, **fields)


def answered(version: ModelVersion, label: str = "banana", score: float = 0.9, **fields: Any) -> Prediction:
    """A recognition with an answer."""
    moments = {"started_at": now() + timedelta(milliseconds=3), "finished_at": now() + timedelta(milliseconds=9)}
    return pending(
        version.model,
        **moments,
        **{
            "status": Prediction.Status.SUCCEEDED,
            "version": version,
            "label": label,
            "score": score,
            "scores": [[label, score], ["apple", 1 - score]],
            "known": True,
            "engine": "openvino",
            "device": "cpu",
            "precision": "float32",
            "decode_ms": 2.0,
            "inference_ms": 3.0,
            "attempts": 1,
            **fields,
        },
    )


def failed(model: RegisteredModel, **fields: Any) -> Prediction:
    reason = {"error_code": "model_failed", "error_detail": "The model could not answer."}
    return pending(model, **{"status": Prediction.Status.FAILED, "attempts": 1, **reason, **fields})


def staff(client: Client, *permissions: str) -> User:
    """Sign in a staff user who has these permissions, such as `predictions.add_review`, and no others."""
    user = User.objects.create_user("reviewer", is_staff=True)
    for permission in permissions:
        app_label, _, codename = permission.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app_label, codename=codename))
    client.force_login(user)
    return user


def act(client: Client, action: str, *rows: Prediction, **fields: Any) -> Any:
    """Choose rows in the list and run an action on them; gives the page after it."""
    chosen = [str(row.pk) for row in rows]
    return client.post(LIST, {"action": action, "_selected_action": chosen, "index": 0, **fields}, follow=True)


def page_fields(client: Client, address: str = LIST, **question: Any) -> dict[str, list[str]]:
    """What the hidden fields of a page say when it is drawn."""
    parser = _Hidden()
    parser.feed(client.get(address, question).content.decode())
    return parser.found


class _Hidden(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("type") == "hidden":
            self.found.setdefault(given.get("name") or "", []).append(given.get("value") or "")


def said(response: Any) -> list[str]:
    """The messages on the page."""
    return [str(message) for message in response.context["messages"]]


def listed(client: Client, **question: Any) -> set[Prediction]:
    """The rows that the list shows for these filters."""
    response = client.get(reverse("admin:predictions_prediction_changelist"), question)
    assert response.status_code == 200
    return set(response.context["cl"].result_list)
