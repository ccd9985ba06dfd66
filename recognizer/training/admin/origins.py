"""The page "Where this answer comes from" of a recognition."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from recognizer.admin_site import may_view
from recognizer.predictions.admin import cells
from recognizer.predictions.describe import label_names
from recognizer.predictions.models import Prediction
from recognizer.registry.taxonomy import with_label_names
from recognizer.training.admin.pictures import thumbnail
from recognizer.training.models import SnapshotItem
from recognizer.training.origins import Lesson, origin_of


def origin_urls() -> list[URLPattern]:
    """The routes below the list of snapshots."""
    return [path("origin/<uuid:pk>/", admin.site.admin_view(origin), name="training_origin")]


def origin(request: HttpRequest, pk: UUID) -> HttpResponse:
    """For those who may see recognitions; snapshots and promotions only for those who may see them too."""
    if not may_view("predictions", "prediction")(request):
        raise PermissionDenied
    row = get_object_or_404(Prediction.objects.select_related("image", "model", "version__model"), pk=pk)
    found = origin_of(row)
    context = {
        **admin.site.each_context(request),
        "title": "Where this answer comes from",
        "row": row,
        "picture": cells.thumbnail(row),
        "answer": _answer(row),
        "when": cells.moment(row.created_at),
        "asked_at": row.finished_at or row.created_at,
        "origin": found,
        "gate": with_label_names(found.reign.promotion.gate, row.model) if found and found.reign else "",
        "sees_promotions": may_view("registry", "promotion")(request),
        "sees_versions": may_view("registry", "modelversion")(request),
        "sees_runs": may_view("training", "trainingrun")(request),
        "sees_snapshots": may_view("training", "datasetsnapshot")(request),
    }
    if found and found.lesson and context["sees_snapshots"]:
        context["photos"] = _photos(found.lesson)
    return TemplateResponse(request, "admin/training/origin.html", context)


def _answer(row: Prediction) -> str:
    if row.known is False:
        return "none of my classes"
    return label_names([row]).get((row.model_id, row.label), row.label) or row.status


def _photos(lesson: Lesson) -> list[tuple[Any, SnapshotItem]]:
    return [
        (thumbnail(reverse("admin:training_snapshotitem_thumbnail", args=[item.pk])), item) for item in lesson.photos
    ]
