"""Is the process alive, and can the service answer?"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError
from rest_framework.request import Request

from recognizer import broker
from recognizer.registry.models import LoadedVersion, Promotion

HIDDEN_ERROR = "A worker cannot load this version. Staff see why."


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database and broker answer and a live worker has the default model loaded; else 503 with what lacks."""
    models = _models(request)
    checks = {
        "database": models is not None,
        "broker": _broker_answers(),
        "worker": any(model["loaded"] for model in models or [] if model["name"] == settings.RECOGNIZER_DEFAULT_MODEL),
    }
    is_ready = all(checks.values())
    return JsonResponse({"ready": is_ready, "checks": checks, "models": models or []}, status=200 if is_ready else 503)


def _broker_answers() -> bool:
    try:
        return bool(broker.ask("PING"))
    except (RedisError, OSError):
        return False


def _models(request: HttpRequest) -> list[dict[str, Any]] | None:
    try:
        live = list(LoadedVersion.objects.live().select_related("version"))
        desired = Promotion.objects.desired().select_related("model", "version")
        is_insider = sees_inside(request)
        return [_described(promotion, live, is_insider=is_insider) for promotion in desired]
    except DatabaseError:
        return None


def _described(promotion: Promotion, live: list[LoadedVersion], *, is_insider: bool) -> dict[str, Any]:
    errors = [row.error for row in live if row.model_id == promotion.model_id and row.error]
    return {
        "name": promotion.model.name,
        "desired": promotion.version.number,
        "loaded": describe_loaded(live, promotion.model_id, is_insider=is_insider),
        "errors": errors if is_insider else [HIDDEN_ERROR for _ in errors],
    }


def describe_loaded(live: Sequence[LoadedVersion], model_id: int, *, is_insider: bool) -> list[dict[str, Any]]:
    """What live workers hold of a model, loaded or ready to be. To strangers a worker is a number."""
    numbers = {name: str(number) for number, name in enumerate(sorted({row.worker for row in live}), start=1)}
    return [
        {
            "worker": row.worker if is_insider else numbers[row.worker],
            "version": row.version.number,
            "engine": row.engine,
            "device": row.device,
            "precision": row.precision,
            "in_memory": row.unloaded_at is None,
        }
        for row in live
        if row.model_id == model_id and row.version
    ]


def sees_inside(request: HttpRequest | Request) -> bool:
    """Whether host names, process ids and paths are for these eyes: staff, or somebody on this machine."""
    return is_from_here(request) or bool(request.user.is_staff)


def is_from_here(request: HttpRequest | Request) -> bool:
    """Whether somebody on this machine asks. Behind a proxy nobody can tell, so nobody is."""
    return request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and not settings.RECOGNIZER_TRUSTED_PROXY
