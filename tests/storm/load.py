"""Visitors of a storm: they upload at a steady pace, and send again what was not answered."""

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.cookies import SimpleCookie

from tests.storm.ledger import Entry, Ledger, content_of
from tests.system.client import Reply, predict, send
from tests.system.pictures import large_picture, phone_picture, small_picture

NUM_VISITORS = 16
AGAIN_SECONDS = 0.5
PATIENCE_SECONDS = 150.0  # a visitor goes on for so long; a keyless one asks once
ASK_AGAIN = {0, 429, 500, 503, 507}


class Visitor:
    """One anonymous visitor, with the cookie that its idempotency keys belong to."""

    def __init__(self, url: str, ledger: Ledger, *, models: list[str]) -> None:
        self._url = url
        self._ledger = ledger
        self._models = models
        self._cookie = ""

    def upload(self, number: int, *, kind: str = "", has_key: bool = True) -> Entry:
        """Send one picture, with a key as often as it takes. Everything that came back is in the ledger."""
        kind = kind or _kind_of(number)
        model = self._models[number % len(self._models)]
        raw = _picture(kind, number)
        sha256 = hashlib.sha256(raw).hexdigest()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply = self._send(raw, model, number, has_key=has_key)
            entry = Entry("storm", number, reply, kind, has_key, sha256)
            self._ledger.add(entry)
            if not has_key or reply.status not in ASK_AGAIN or time.monotonic() > deadline:
                return entry
            time.sleep(AGAIN_SECONDS)

    def _send(self, raw: bytes, model: str, number: int, *, has_key: bool) -> Reply:
        headers = {"Prefer": "wait=2" if number % 5 == 0 else "respond-async"}
        if has_key:
            headers |= {"Cookie": self._own_cookie(), "Idempotency_Key": f"storm-{number}"}
        return predict(self._url, raw, model=model, **headers)

    def _own_cookie(self) -> str:
        while not self._cookie:
            cookies = SimpleCookie(send(f"{self._url}/").headers.get("Set-Cookie", ""))
            if "recognizer_visitor" in cookies:
                self._cookie = f"recognizer_visitor={cookies['recognizer_visitor'].coded_value}"
            else:
                time.sleep(AGAIN_SECONDS)
        return self._cookie


@contextmanager
def steady_load(url: str, ledger: Ledger, *, models: list[str], rate: float) -> Iterator[None]:
    """Uploads from several visitors, `rate` a second together; at the end everybody finishes what they began."""
    is_over, numbers = threading.Event(), itertools.count()
    pause = NUM_VISITORS / rate

    def visit(place: int) -> None:
        visitor = Visitor(url, ledger, models=models)
        is_over.wait(place / rate)  # or all begin at once
        while not is_over.wait(pause):
            number = next(numbers)
            visitor.upload(number, has_key=number % 4 != 3)

    with ThreadPoolExecutor(NUM_VISITORS) as visitors:
        visits = [visitors.submit(visit, place) for place in range(NUM_VISITORS)]
        try:
            yield
        finally:
            is_over.set()
    for visit_ in visits:
        visit_.result()


def _kind_of(number: int) -> str:
    if number % 40 == 17:
        return "broken"
    return "phone" if number % 4 == 0 else "photo"


def _picture(kind: str, number: int) -> bytes:
    if kind in ("large", "poison"):
        return large_picture(number)
    if kind == "phone":
        return phone_picture(content_of(number))
    raw = small_picture(content_of(number))
    return raw if kind == "photo" else raw[: len(raw) // 2]  # its header is fine, its pixels are not
