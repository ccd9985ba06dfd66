"""The JSON API of predictions."""

import threading
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier_core.errors import ImageUndecodable
from recognizer.negotiation import QuickRequest
from recognizer.openapi import problems
from recognizer.predictions import doorbell, erasure, feedback, renditions
from recognizer.predictions.describe import describe, describe_all, describe_new, with_details
from recognizer.predictions.filters import PredictionFilter
from recognizer.predictions.history import moment_of
from recognizer.predictions.intake import Submission, submit
from recognizer.predictions.models import Owner, Prediction
from recognizer.predictions.ownership import (
    AccessToken,
    AccessTokenAuthentication,
    erasable_by,
    erased_by,
    owner_for_upload,
    owner_of,
    remember_visitor,
    retryable_by,
    visible_to,
)
from recognizer.predictions.parsers import BoundedJSONParser, FormParser, RawImageParser
from recognizer.predictions.preferences import wait_seconds
from recognizer.predictions.presentation import has_picture
from recognizer.predictions.serializers import (
    FeedbackSerializer,
    PredictionSerializer,
    PredictSerializer,
)
from recognizer.predictions.throttles import UploadThrottle
from recognizer.problems import problem

RETRY_AFTER_SECONDS = "1"
PICTURE_SECONDS = 3600
NOBODYS_KEY = "A key belongs to somebody: sign in, or send the cookie that GET / sets."
_asked = PredictSerializer()  # one for all: to make one takes as long as to read a request with it
# Requests that wait hold at most half of the threads, so that the service goes on answering beside them.
_waiting = threading.BoundedSemaphore(max(1, settings.RECOGNIZER_WEB_THREADS // 2))

READING = problems(401, 404, 406)
WRITING = problems(400, 401, 403, 404, 406, 409, 413, 415)
UPLOADING = problems(400, 401, 403, 404, 406, 413, 415, 422, 429, 503, 507)
HEADERS = [
    OpenApiParameter("Prefer", str, OpenApiParameter.HEADER, description="`respond-async` or `wait=<seconds>`"),
    OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Two requests with one key are one."),
]
OPTIONS = [
    OpenApiParameter(
        "model", str, default=settings.RECOGNIZER_DEFAULT_MODEL, description="Name of a registered model."
    ),
    OpenApiParameter("top_k", int, default=5, description="1 to 20. What the body says counts more."),
    OpenApiParameter("train", bool, default=settings.RECOGNIZER_TRAIN_DEFAULT, description="May be used for training."),
]


def _body(image: dict[str, str]) -> dict[str, Any]:
    """The schema of a body that has the image in this form, and the options beside it."""
    options = {
        "model": {"type": "string", "default": settings.RECOGNIZER_DEFAULT_MODEL},
        "top_k": {"type": "integer", "minimum": 1, "maximum": 20, "default": 5},
        "train": {"type": "boolean", "default": settings.RECOGNIZER_TRAIN_DEFAULT},
    }
    return {"type": "object", "required": ["image"], "properties": {"image": {"type": "string", **image}, **options}}


class OwnedView(APIView):
    authentication_classes = [AccessTokenAuthentication, SessionAuthentication]

    def prediction(self, pk: UUID) -> Prediction:
        """Raises Http404 also when it is somebody else's."""
        return get_object_or_404(with_details(visible_to(self.request)), pk=pk)


class PredictView(OwnedView):
    """Recognise one image."""

    parser_classes = [FormParser, RawImageParser, BoundedJSONParser]
    throttle_classes = [UploadThrottle]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """The framework's own, as a request that is read faster."""
        return QuickRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    @extend_schema(
        operation_id="predict",
        parameters=HEADERS + OPTIONS,
        request={
            "multipart/form-data": _body({"format": "binary"}),
            "image/*": OpenApiTypes.BINARY,
            "application/json": _body({"format": "byte", "description": "base64"}),
        },
        responses={200: PredictionSerializer, 202: PredictionSerializer, **UPLOADING},
    )
    def post(self, request: Request) -> HttpResponse:
        upload, options = _asked.read(_values(request), idempotency_key=_idempotency_key(request))
        seconds = wait_seconds(request)
        owner = owner_for_upload(request)
        submission = submit(upload, owner=owner, options=options)
        del upload  # a request that waits holds no photo
        reply = _reply(submission, owner, seconds=seconds)
        remember_visitor(request, reply, owner)
        return reply


def _values(request: Request) -> dict[str, Any]:
    """The body's values over those of the query."""
    if not isinstance(request.data, dict):
        raise ValidationError("Send a JSON object with the key image.")
    if len(request.FILES.getlist("image")) > 1:
        raise ValidationError({"image": "Send one image a request; the second would be lost."})
    if not request.data and (request.content_type or "").startswith("image/"):  # no parser is asked about an empty body
        return {**request.query_params.dict(), "image": b""}
    return {**request.query_params.dict(), **{key: request.data[key] for key in request.data}}


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > 255:
        raise ValidationError({"Idempotency-Key": "Use at most 255 characters."})
    is_nobody = owner_of(request) == Owner()
    if key and is_nobody:
        raise ValidationError({"Idempotency-Key": NOBODYS_KEY})
    return key


def _reply(submission: Submission, owner: Owner, *, seconds: float) -> HttpResponse:
    """Wait for the answer within the budget, then say what there is."""
    prediction, answer = submission.prediction, ""
    if seconds and not prediction.is_finished and _waiting.acquire(blocking=False):
        try:
            answer = doorbell.wait_for(prediction.pk, seconds=seconds)
        finally:
            _waiting.release()
    if submission.is_new:
        body = describe_new(prediction, answer)
    else:
        body = describe(with_details(Prediction.objects.all()).get(pk=prediction.pk))
    access: dict[str, Any] = {} if owner.user else {"access": str(AccessToken(prediction.pk))}
    body |= access
    error = body["error"]
    if error and error["code"] == "undecodable":
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, error["detail"], code="undecodable", id=body["id"], **access)
    if body["finished_at"]:
        return Response(body)
    headers = {"Location": body["url"], "Retry-After": RETRY_AFTER_SECONDS}
    return Response(body, status=HTTPStatus.ACCEPTED, headers=headers)


class NewestFirst(CursorPagination):
    ordering = ("-created_at", "-id")
    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Raises NotFound also for a position that is no date, which the database would stumble over."""
        cursor = super().decode_cursor(request)
        if cursor and cursor.position is not None and moment_of(str(cursor.position)) is None:
            raise NotFound(self.invalid_cursor_message)
        return cursor


@extend_schema_view(get=extend_schema(responses={200: PredictionSerializer(many=True), **READING, **problems(400)}))
class PredictionListView(ListAPIView[Prediction]):
    """Own predictions, newest first; all of them for a reviewer."""

    authentication_classes = [AccessTokenAuthentication, SessionAuthentication]
    serializer_class = PredictionSerializer
    pagination_class = NewestFirst
    filter_backends = [DjangoFilterBackend]
    filterset_class = PredictionFilter
    queryset = Prediction.objects.none()  # for the schema; get_queryset answers

    def get_queryset(self) -> Any:
        return with_details(visible_to(self.request))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(describe_all(rows or []))


class PredictionView(OwnedView):
    """One prediction."""

    @extend_schema(responses={200: PredictionSerializer, **READING})
    def get(self, request: Request, pk: UUID) -> Response:
        return Response(describe(self.prediction(pk)))

    @extend_schema(responses={204: None, **WRITING})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Erase it: the image, the answer and the opinions. Only a tombstone stays."""
        erasure.erase(get_object_or_404(erasable_by(request), pk=pk), erased_by=erased_by(request))
        return Response(status=HTTPStatus.NO_CONTENT)


class FeedbackView(OwnedView):
    """Say whether an answer is right. A reviewer decides whether the claim counts."""

    @extend_schema(request=FeedbackSerializer, responses={201: FeedbackSerializer, **WRITING})
    def post(self, request: Request, pk: UUID) -> Response:
        prediction = self.prediction(pk)
        said = FeedbackSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        label = said.validated_data.get("label", "")
        claim = feedback.claim(prediction, owner=owner_of(request), is_correct=not label, claimed_label=label)
        meant = {"label": claim.label.key} if claim.label else {}
        return Response({**said.data, **meant}, status=HTTPStatus.CREATED)


class RetryView(OwnedView):
    """Queue a failed prediction once more."""

    @extend_schema(request=None, responses={202: PredictionSerializer, **WRITING})
    def post(self, request: Request, pk: UUID) -> HttpResponse:
        if not get_object_or_404(retryable_by(request), pk=pk).retry():
            return problem(HTTPStatus.CONFLICT, "Only a failed prediction can be retried.", code="not-failed")
        doorbell.ring()
        body = describe(self.prediction(pk))
        headers = {"Location": body["url"], "Retry-After": RETRY_AFTER_SECONDS}
        return Response(body, status=HTTPStatus.ACCEPTED, headers=headers)


class JPEGRenderer(BaseRenderer):
    """Says in content negotiation that a picture is an image/jpeg; the view answers with ready bytes."""

    media_type = "image/jpeg"
    format = "jpeg"


class PictureView(OwnedView):
    """The picture, encoded anew without metadata."""

    renderer_classes = [JPEGRenderer, JSONRenderer]
    kind = "image"

    @extend_schema(responses={(200, "image/jpeg"): OpenApiTypes.BINARY, **READING, **problems(409, 422, 503)})
    def get(self, request: Request, pk: UUID) -> HttpResponse:
        row = self.prediction(pk)
        if row.image is None:
            raise NotFound("The image was erased.")
        if not row.is_finished:
            words, headers = "The picture can be seen once the answer is there.", {"Retry-After": RETRY_AFTER_SECONDS}
            return problem(HTTPStatus.CONFLICT, words, code="not-answered", headers=headers)
        if not has_picture(row):
            raise NotFound("There is no picture of an image that got no answer.")
        try:
            picture = renditions.rendition(row.image.blob_id, self.kind)
        except ImageUndecodable as error:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), code="undecodable", id=str(pk))
        except FileNotFoundError:
            raise NotFound("The image is not stored any more.") from None
        headers = {"Cache-Control": f"private, max-age={PICTURE_SECONDS}", "X-Content-Type-Options": "nosniff"}
        return HttpResponse(picture, content_type="image/jpeg", headers=headers)


class ThumbnailView(PictureView):
    """The picture, small, encoded anew without metadata."""

    kind = "thumbnail"
