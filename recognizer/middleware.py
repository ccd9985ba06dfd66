"""Refusals that come before any view."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from recognizer.problems import failed

GetResponse = Callable[[HttpRequest], HttpResponse]
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}


class BodyLimitMiddleware:
    """Refuse a body that is larger than any allowed upload, by its announced length."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        announced = request.META.get("CONTENT_LENGTH") or "0"
        if announced.isdigit() and int(announced) > settings.RECOGNIZER_MAX_BODY_BYTES:
            megabytes = settings.RECOGNIZER_MAX_UPLOAD_BYTES / 1e6
            words = f"The upload is too large. Send one image of at most {megabytes:.0f} MB at a time."
            return failed(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, request, words, code="too-many-bytes")
        return self.get_response(request)


class SameOriginMiddleware:
    """Refuse unsafe requests that a page of another site makes a browser send, signed in or not.

    An anonymous visitor has no CSRF token, but has a cookie that owns uploads. Programs send neither header.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in SAFE_METHODS and self._is_foreign(request):
            words = "This request comes from a page of another site. Use this service's own pages, or a program."
            return failed(HTTPStatus.FORBIDDEN, request, words, code="foreign-origin")
        return self.get_response(request)

    def _is_foreign(self, request: HttpRequest) -> bool:
        origin = request.headers.get("Origin")
        if origin is not None:
            own = f"{request.scheme}://{request.get_host()}"
            return origin != own and origin not in settings.CSRF_TRUSTED_ORIGINS
        return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
