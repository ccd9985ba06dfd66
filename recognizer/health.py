"""Is the process alive, and can the service answer?"""

from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError

from recognizer import broker
from recognizer.registry.models import LoadedVersion, Promotion


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database and broker answer and a live worker has the default model loaded; else 503 with what lacks."""
    models = _models()
    checks = {
        "database": models is not None,
        "broker": _broker_answers(),
        "worker": any(model["loaded"] for model in models or [] if model["name"] == settings.RECOGNIZER_DEFAULT_MODEL),
    }
    is_ready = all(checks.values())
    return JsonResponse({"ready": is_ready, "checks": checks, "models": models or []}, status=200 if is_ready else 503)


def _broker_answers() -> bool:
    try:
        return bool(broker.connection().ping())
    except (RedisError, OSError):
        return False


def _models() -> list[dict[str, Any]] | None:
    try:
        loaded = list(LoadedVersion.objects.live().select_related("version"))
        desired = Promotion.objects.desired().select_related("model", "version")
        return [_described(promotion, loaded) for promotion in desired]
    except DatabaseError:
        return None


def _described(promotion: Promotion, loaded: list[LoadedVersion]) -> dict[str, Any]:
    return {
        "name": promotion.model.name,
        "desired": promotion.version.number,
        "loaded": [describe_loaded(row) for row in loaded if row.model_id == promotion.model_id and row.version],
        "errors": [row.error for row in loaded if row.model_id == promotion.model_id and row.error],
    }


def describe_loaded(row: LoadedVersion) -> dict[str, Any]:
    """One worker's loaded version, as the API and /readyz show it."""
    return {
        "worker": row.worker,
        "version": row.version.number if row.version else None,
        "engine": row.engine,
        "device": row.device,
        "precision": row.precision,
    }
