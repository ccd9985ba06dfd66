"""A client of the running service that sees what `curl` sees: status, headers, body, time."""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from email.message import Message
from typing import Any

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Reply:
    """What came back. `status` is 0 when no answer came at all; `text` then says why."""

    status: int
    text: str
    headers: Message
    seconds: float

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    @property
    def is_kept(self) -> bool:
        """The server has promised to keep it."""
        return 200 <= self.status < 300


def send(url: str, raw: bytes | None = None, *, content_type: str = "", **headers: str) -> Reply:
    """GET, or POST the bytes. Header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type:
        named["Content-Type"] = content_type
    request = urllib.request.Request(url, data=raw, headers=named)
    start = time.monotonic()
    try:
        with _opened(request) as response:
            status, text, received = response.status, response.read().decode(), response.headers
    except (OSError, http.client.HTTPException) as error:  # also where the server died in the middle of its answer
        status, text, received = 0, f"{type(error).__name__}: {error}", Message()
    return Reply(status, text, received, time.monotonic() - start)


def _opened(request: urllib.request.Request) -> Any:
    """The response, whatever its status."""
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        return error


def predict(service_url: str, raw: bytes, *, model: str = "", top_k: int = 5, **headers: str) -> Reply:
    """Post one image as a raw body; without other `headers` this waits for the answer."""
    query = f"?top_k={top_k}" + (f"&model={model}" if model else "")
    return send(f"{service_url}/api/predict/{query}", raw, content_type="image/png", **headers)


def predict_form(service_url: str, raw: bytes, *, file_name: str) -> Reply:
    """Post one image as `curl -F image=@file_name` does."""
    body, boundary = multipart(raw, file_name=file_name)
    return send(f"{service_url}/api/predict/", body, content_type=f"multipart/form-data; boundary={boundary}")


def multipart(raw: bytes, *, file_name: str, field: str = "image", **fields: str) -> tuple[bytes, str]:
    """The body of a form with one file, and its boundary."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{file_name}"\r\n\r\n'
    return "".join([*parts, head]).encode() + raw + f"\r\n--{boundary}--\r\n".encode(), boundary
