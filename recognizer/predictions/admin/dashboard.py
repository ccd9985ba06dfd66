"""The admin's first page: what waits, what went wrong, what serves."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.timezone import localdate

from recognizer.admin_site import may_review, may_view
from recognizer.predictions.admin.filters import MAX_COUNTED, midnight
from recognizer.predictions.models import Prediction
from recognizer.registry.admin.models import ago
from recognizer.registry.models import LoadedVersion, Promotion


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The figures, each with a way to the rows behind it; only those that the person may see."""
    context["title"] = "Overview"
    may_see, reviews = may_view("predictions", "prediction")(request), may_review(request)
    to_review = _number(Prediction.objects.unreviewed()) if may_see or reviews else ""
    if may_see:
        context["figures"] = _figures(to_review)
    if reviews:
        context["to_review"] = to_review
    if may_view("registry", "registeredmodel")(request):
        context["serving"] = _serving()
        context["num_workers"] = LoadedVersion.objects.live().num_workers()
    return context


def _figures(to_review: str) -> list[dict[str, str]]:
    status, today = Prediction.Status, localdate()
    rows = Prediction.objects.filter(created_at__gte=midnight(today))
    since = {"created_at_from": today.isoformat()}
    return [
        _figure("Waiting", _number(Prediction.objects.pending()), status__exact=status.PENDING),
        _figure("Recognised today", _number(rows.filter(status=status.SUCCEEDED)), status__exact="succeeded", **since),
        _figure("Failed today", _number(rows.filter(status=status.FAILED)), status__exact=status.FAILED, **since),
        _figure("To review", to_review, verdict="none"),
    ]


def _figure(name: str, number: str, **filters: str) -> dict[str, str]:
    address = f"{reverse('admin:predictions_prediction_changelist')}?{urlencode(filters)}"
    return {"name": name, "number": number, "address": address}


def _number(rows: QuerySet[Prediction]) -> str:
    number = rows.order_by()[:MAX_COUNTED].count()
    return f"{number:,}" + ("+" if number == MAX_COUNTED else "")


def _serving() -> list[dict[str, str]]:
    """What should serve, beside what the workers that report have loaded."""
    loaded: dict[int, list[LoadedVersion]] = {}
    for report in LoadedVersion.objects.live():
        loaded.setdefault(report.model_id, []).append(report)
    desired = Promotion.objects.desired().select_related("version__model", "promoted_by").order_by("model__name")
    return [_serves(promotion, loaded.get(promotion.model_id, [])) for promotion in desired]


def _serves(promotion: Promotion, reports: list[LoadedVersion]) -> dict[str, str]:
    right = [report for report in reports if report.version_id == promotion.version_id]
    words = f"loaded by {len(right)} of {len(reports)} workers" if reports else "no worker reports"
    return {
        "version": str(promotion.version),
        "architecture": promotion.version.architecture,
        "since": ago(promotion.created_at),
        "state": "; ".join([words, *{report.error for report in reports if report.error}]),
        "tone": "good" if reports and len(right) == len(reports) else "bad",
        "address": reverse("admin:registry_registeredmodel_change", args=[promotion.model_id]),
    }
