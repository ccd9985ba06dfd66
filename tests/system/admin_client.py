"""An administrator's browser without a screen: signed in, it fills in forms and asks the admin's JSON doors."""

import json
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

from tests.service import ADMIN, PASSWORD, RunningService
from tests.system.client import TIMEOUT_SECONDS, multipart


class AdminClient:
    """One session at one running service."""

    def __init__(self, service: RunningService) -> None:
        self._url, self._cookies = f"{service.url}/admin/", CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        self.get("login/")
        self.post("login/", username=ADMIN, password=PASSWORD, next="/admin/")

    def get(self, path: str) -> str:
        """The page. Raises HTTPError for anything but an answer."""
        return self._send(urllib.request.Request(self._url + path))

    def post(self, path: str, **fields: Any) -> str:
        """The page that follows the form."""
        body = urllib.parse.urlencode(fields).encode()
        return self._send(self._request(path, body, "application/x-www-form-urlencoded"))

    def post_file(self, path: str, raw: bytes, *, field: str, file_name: str, **fields: Any) -> str:
        """The page that follows a form with a file in it."""
        body, boundary = multipart(raw, field=field, file_name=file_name, **fields)
        return self._send(self._request(path, body, f"multipart/form-data; boundary={boundary}"))

    def ask(self, path: str, **values: Any) -> Any:
        """What a JSON door answers."""
        return json.loads(self._send(self._request(path, json.dumps(values).encode(), "application/json")))

    def _request(self, path: str, body: bytes, kind: str) -> urllib.request.Request:
        token = next(cookie.value or "" for cookie in self._cookies if cookie.name == "csrftoken")
        return urllib.request.Request(self._url + path, body, {"Content-Type": kind, "X-CSRFToken": token})

    def _send(self, request: urllib.request.Request) -> str:
        with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return str(response.read().decode())
