"""What happens to every request before any view: refusals, and what its log lines say."""

import logging
import threading
import uuid
from collections.abc import Callable
from http import HTTPStatus

import structlog
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django_structlog.middlewares import RequestMiddleware

from recognizer.problems import RETRY_SECONDS, failed

UPLOAD_PAGE = "/"
# Forms that hold many photos: the upload page, and an administrator's zip.
LARGE_FORMS = {UPLOAD_PAGE, "/admin/training/photoimport/add/"}
MAX_LARGE_BODIES = 4
LARGE_TEXT_BYTES = 5_000_000  # JSON
_requests = logging.getLogger("django_structlog")
GetResponse = Callable[[HttpRequest], HttpResponse]
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
RECOGNISE = ("/api/predict/", "/api/predict")


class PagesOnly:
    """Makes a middleware leave out the address that takes uploads: its answers are no pages, and shall be quick."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in RECOGNISE:
            return self.get_response(request)  # type: ignore[attr-defined,no-any-return]
        return super().__call__(request)  # type: ignore[misc,no-any-return]


class PagePolicyMiddleware(PagesOnly, CSPMiddleware):
    """What pages may load."""


class PageMessagesMiddleware(PagesOnly, MessageMiddleware):
    """What pages say once about what was just done."""


class BodyLimitMiddleware:
    """Bound request bodies by their announced length, each and the large ones together.

    A body is one image; the form of the upload page holds several. An image in base64 takes five times its size while
    it is read, and a form all of its photos: few such bodies are read at once, the next one is asked to come back.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._places = threading.BoundedSemaphore(MAX_LARGE_BODIES)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        num_bytes = _announced_bytes(request)
        if num_bytes > _max_bytes(request):
            return failed(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, request, _too_large(request), code="too-many-bytes")
        if not _takes_much_memory(request, num_bytes):
            return self.get_response(request)
        if not self._places.acquire(blocking=False):
            return _come_back(request)
        try:
            return self.get_response(request)
        finally:
            self._places.release()


class RequestLogMiddleware(RequestMiddleware):
    """Lines with the address of the connection, or the one that a trusted proxy names.

    The library would believe X-Real-IP and its like, which any client may send, and search every request for them. It
    makes two lines of each request; where nobody sees those, a stranger's other lines get their names and no more.
    """

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES or _requests.isEnabledFor(logging.INFO):
            return super().__call__(request)  # type: ignore[return-value]
        names = {"request_id": str(uuid.uuid4()), "user_id": None, "ip": _address(request)}
        before = structlog.contextvars.bind_contextvars(**names)
        try:
            return self.get_response(request)  # type: ignore[return-value]
        finally:
            structlog.contextvars.reset_contextvars(**before)

    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        structlog.contextvars.bind_contextvars(ip=_address(request))


def _address(request: HttpRequest) -> str | None:
    return request.META.get("REMOTE_ADDR")


def _announced_bytes(request: HttpRequest) -> int:
    announced = request.META.get("CONTENT_LENGTH") or "0"
    return int(announced) if announced.isdecimal() else 0


def _max_bytes(request: HttpRequest) -> int:
    is_large = request.path in LARGE_FORMS
    return settings.RECOGNIZER_MAX_FORM_BYTES if is_large else settings.RECOGNIZER_MAX_BODY_BYTES


def _too_large(request: HttpRequest) -> str:
    megabytes = f"{settings.RECOGNIZER_MAX_UPLOAD_BYTES / 1e6:.0f} MB"
    if request.path in LARGE_FORMS - {UPLOAD_PAGE}:
        total = f"{settings.RECOGNIZER_MAX_FORM_BYTES / 1e6:.0f} MB"
        return f"The zip is too large: a page takes {total}. Import it with manage.py dataset import instead."
    if request.path == UPLOAD_PAGE:
        total = f"{settings.RECOGNIZER_MAX_FORM_BYTES / 1e6:.0f} MB"
        return f"These photos are too large together. Send at most {total} at a time, {megabytes} for each photo."
    return f"The upload is too large. Send one image of at most {megabytes} at a time."


def _takes_much_memory(request: HttpRequest, num_bytes: int) -> bool:
    kind = request.content_type or ""
    if kind in ("multipart/form-data", "") or kind.startswith("image/"):
        return num_bytes > settings.RECOGNIZER_MAX_BODY_BYTES
    return num_bytes > LARGE_TEXT_BYTES


def _come_back(request: HttpRequest) -> HttpResponse:
    words = "Too many large uploads are being read at the moment. Send it again in a few seconds."
    response = failed(HTTPStatus.SERVICE_UNAVAILABLE, request, words, code="overloaded")
    response["Retry-After"] = RETRY_SECONDS
    return response


class LanguageMiddleware:
    """Django's LocaleMiddleware without its look for a language in the path, which takes longer and finds none here."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = translation.get_language_from_request(request)
        translation.activate(language)
        request.LANGUAGE_CODE = language
        response = self.get_response(request)
        patch_vary_headers(response, ("Accept-Language",))
        response.headers.setdefault("Content-Language", translation.get_language())
        return response


class SameOriginMiddleware:
    """Refuse unsafe requests that a page of another site makes a browser send, signed in or not.

    An anonymous visitor has no CSRF token, but has a cookie that owns uploads. Programs send neither header.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._csrf = CsrfViewMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in SAFE_METHODS and self._is_foreign(request):
            words = "This request comes from a page of another site. Use this service's own pages, or a program."
            return failed(HTTPStatus.FORBIDDEN, request, words, code="foreign-origin")
        return self.get_response(request)

    def _is_foreign(self, request: HttpRequest) -> bool:
        if "Origin" in request.headers:
            # Django's own comparison, which knows `https://*.example.com`: two would disagree.
            return not self._csrf._origin_verified(request)  # type: ignore[attr-defined]
        return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
