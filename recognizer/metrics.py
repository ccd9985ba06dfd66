"""Figures for Prometheus at /metrics."""

import hmac
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from recognizer.health import is_from_here
from recognizer.predictions.models import Prediction
from recognizer.problems import problem
from recognizer.registry.models import LoadedVersion

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
REQUESTS = Counter("recognizer_http_requests", "Requests by route and status.", ["method", "route", "status"])
SECONDS = Histogram(
    "recognizer_http_request_seconds",
    "Time to answer, by route.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


class RequestMetricsMiddleware:
    """Count and time every request under the name of its route, never under its path: ids would be endless labels."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        start = time.perf_counter()
        response = self.get_response(request)
        route = request.resolver_match.view_name if request.resolver_match else "none"
        method = request.method if request.method in METHODS else "other"  # clients invent them, endlessly
        REQUESTS.labels(method, route or "unnamed", response.status_code).inc()
        SECONDS.labels(route or "unnamed").observe(time.perf_counter() - start)
        return response


class DatabaseFigures(Collector):
    """What only the database knows, read when asked."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting = Prediction.objects.pending().order_by("created_at")
        oldest = waiting.values_list("created_at", flat=True).first()
        age = (now() - oldest).total_seconds() if oldest else 0.0
        workers = LoadedVersion.objects.live().num_workers()
        yield GaugeMetricFamily("recognizer_pending", "Predictions that wait.", value=waiting.count())
        yield GaugeMetricFamily("recognizer_oldest_pending_seconds", "Age of the oldest that waits.", value=age)
        yield GaugeMetricFamily("recognizer_live_workers", "Workers that reported lately.", value=workers)

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # without this, registering asks the database before it is there


REGISTRY.register(DatabaseFigures())


def metrics(request: HttpRequest) -> HttpResponse:
    """The figures, for this machine or for whoever has RECOGNIZER_METRICS_TOKEN."""
    if not _may_read(request):
        return problem(403, "Send the metrics token: Authorization: Bearer <RECOGNIZER_METRICS_TOKEN>.")
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    token = settings.RECOGNIZER_METRICS_TOKEN
    if token:
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode())
    return is_from_here(request)
