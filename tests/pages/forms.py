"""What a browser without scripts does."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from recognizer.predictions.models import Prediction
from tests.recognition import picture, work


def send(client: Client, *raws: bytes, model: str = "fruit", **fields: str) -> Any:
    """Choose files, press the button."""
    client.get("/")
    files = [SimpleUploadedFile(f"{number}.jpg", raw) for number, raw in enumerate(raws)]
    return client.post("/", {"images": files, "model": model, **fields})


def answered(client: Client, raw: bytes | None = None) -> Prediction:
    """Send one picture and let a worker answer."""
    reply = send(client, picture() if raw is None else raw)
    work()
    return Prediction.objects.get(pk=reply.url.split("/")[2])


def words(response: Any) -> str:
    """The page's text with single spaces."""
    return " ".join(response.content.decode().split())
