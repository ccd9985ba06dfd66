"""Asking the desk's doors, as its page does."""

import json
import uuid
from typing import Any

from django.test import Client

from recognizer.predictions.models import Blob, Prediction

DESK = "/admin/predictions/prediction/desk/"
REVIEWER = ("predictions.view_prediction", "predictions.add_review")


def tiles(client: Client, **question: Any) -> list[dict[str, Any]]:
    response = client.get(f"{DESK}tiles/", question)
    assert response.status_code == 200, response.content
    return response.json()["tiles"]


def send(client: Client, door: str, body: Any) -> Any:
    text = body if isinstance(body, str) else json.dumps(body, default=str)
    return client.post(f"{DESK}{door}/", text, content_type="application/json")


def judge(client: Client, row: Prediction | uuid.UUID, verdict: str = "confirmed", **more: Any) -> dict[str, Any]:
    step = {"do": "judge", "id": getattr(row, "pk", row), "seen": 0, "verdict": verdict, **more}
    return send(client, "steps", {"steps": [step]}).json()["results"][0]


def own_picture(row: Prediction, *, group: int | None = None) -> Prediction:
    """The row with a picture that no other row has."""
    blob = Blob.objects.create(
        sha256=uuid.uuid4().hex * 2, num_bytes=1, format="JPEG", width=4, height=3, look_group=group
    )
    row.image.blob = blob
    row.image.save()
    return row
