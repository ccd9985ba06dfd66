"""Errors as RFC 9457 problem documents for programs, and as pages for people."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import DisallowedHost, PermissionDenied, TooManyFilesSent
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import requires_csrf_token
from rest_framework import exceptions
from rest_framework.views import set_rollback

from classifier_core.errors import ImageRefused
from recognizer.predictions.blobs import StorageFull
from recognizer.predictions.erasure import StillRunning
from recognizer.predictions.feedback import NotAnswered, TooManyClaims
from recognizer.predictions.intake import KeyReused, NothingServes, Overloaded, UnknownModel
from recognizer.predictions.renditions import TooManyPictures
from recognizer.storage import StorageUnavailable

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = "2"
HOW_TO_SEND = (
    "Send JSON; an image as multipart field `image`, as a raw body with an image/* content type, or base64 in JSON."
)

STATUS_OF_REFUSAL = {
    "empty": 400,
    "too_many_bytes": 413,
    "too_many_pixels": 413,
    "side_too_long": 413,
    "unsupported_format": 415,
    "unreadable_header": 422,
}
STATUS_OF_ERROR: dict[type[Exception], tuple[int, str]] = {
    UnknownModel: (404, "unknown-model"),
    NothingServes: (503, "no-model"),
    Overloaded: (503, "overloaded"),
    KeyReused: (422, "idempotency-key-reused"),
    StorageFull: (507, "storage-full"),
    StorageUnavailable: (503, "storage-unavailable"),
    StillRunning: (409, "still-running"),
    NotAnswered: (409, "not-answered"),
    TooManyClaims: (409, "too-many-claims"),
    TooManyPictures: (503, "too-many-pictures"),
}


def problem(
    status: int, detail: str, *, code: str = "", headers: Mapping[str, str] | None = None, **members: Any
) -> JsonResponse:
    """A problem document. `code` ends its `type`, which programs may compare; `detail` is for people."""
    kind = code or HTTPStatus(status).phrase.lower().replace(" ", "-")
    body = {
        "type": f"urn:recognizer:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)


def problem_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """The reply of the API to an exception; None lets an unforeseen one become a logged 500."""
    set_rollback()
    if reply := known_problem(error):
        return reply
    if isinstance(error, Http404):
        return problem(404, "There is nothing here, or it is not yours.")
    if isinstance(error, PermissionDenied):
        return problem(403, "You may not do this. Sign in with an account that may.")
    if isinstance(error, exceptions.APIException):
        return _from_api(error)
    return None


def known_problem(error: Exception) -> JsonResponse | None:
    """The reply to an error of one of our steps."""
    if isinstance(error, ImageRefused):
        return problem(STATUS_OF_REFUSAL[error.code], str(error), code=error.code.replace("_", "-"))
    if isinstance(error, OperationalError):
        log.error("the database does not answer", exc_info=error)
        return _unavailable("The database does not answer. Nothing is lost; try again in a moment.", "no-database")
    if type(error) not in STATUS_OF_ERROR:
        return None
    status, code = STATUS_OF_ERROR[type(error)]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return _unavailable(str(error), code)
    return problem(status, str(error), code=code)


def _unavailable(detail: str, code: str) -> JsonResponse:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, code=code, headers={"Retry-After": RETRY_SECONDS})


def _from_api(error: exceptions.APIException) -> JsonResponse:
    # The two headers that DRF hangs on its exceptions.
    auth_header, wait = getattr(error, "auth_header", None), getattr(error, "wait", None)
    headers = {"WWW-Authenticate": auth_header} if auth_header else {}
    if wait is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    if isinstance(error, exceptions.UnsupportedMediaType):
        return problem(error.status_code, f"{error.detail} {HOW_TO_SEND}")
    if isinstance(error, exceptions.ValidationError):
        return problem(error.status_code, "Some values are not usable; see errors.", errors=_field_errors(error.detail))
    return problem(error.status_code, str(error.detail), headers=headers)


def _field_errors(detail: Any) -> list[dict[str, str]]:
    if isinstance(detail, Mapping):
        return [{"field": field, "detail": str(text)} for field, texts in detail.items() for text in _each(texts)]
    return [{"field": "", "detail": str(text)} for text in _each(detail)]


def _each(texts: Any) -> list[Any]:
    return list(texts) if isinstance(texts, list | tuple) else [texts]


def failed(status: int, request: HttpRequest, detail: str, *, code: str = "") -> HttpResponse:
    """The same refusal as a problem for programs and as a page for people."""
    if _wants_page(request):
        return render(request, "problem.html", {"status": status, "detail": detail}, status=status)
    return problem(status, detail, code=code)


def _wants_page(request: HttpRequest) -> bool:
    return not request.path.startswith("/api/") and request.accepts("text/html")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, DisallowedHost):
        return _unknown_host()
    if isinstance(exception, TooManyFilesSent):
        return _too_many_files(request)
    return failed(400, request, "The request is larger than allowed or not well formed.")


def _too_many_files(request: HttpRequest) -> HttpResponse:
    words = f"These are too many files. Send at most {settings.DATA_UPLOAD_MAX_NUMBER_FILES} at a time."
    if request.path == reverse("upload") and _wants_page(request):
        messages.error(request, words)  # back at the form: people can choose again
        return redirect("upload")
    return failed(400, request, words, code="too-many-files")


def _unknown_host() -> HttpResponse:
    # Not a page: pages build links, and links need a host to be trusted.
    words = "This service does not go by that host name. Its administrator names hosts in RECOGNIZER_ALLOWED_HOSTS."
    return problem(400, words, code="unknown-host")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _wants_page(request):
        return render(request, "403.html", status=403)
    return problem(403, "You may not do this. Sign in with an account that may.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _wants_page(request):
        return render(request, "404.html", status=404)
    return problem(404, "There is nothing here, or it is not yours.")


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    if _wants_page(request):
        return render(request, "500.html", status=500)
    return problem(500, "Something broke on our side. Your request is in the log; try again later.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return failed(403, request, "The form is too old or came from another site. Reload the page and send it again.")
