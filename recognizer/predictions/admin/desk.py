"""The review desk: one page, and the small JSON doors that it asks. For staff who may add reviews."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_POST
from rest_framework import serializers

from recognizer.admin_site import may_review
from recognizer.predictions.admin.desk_input import NewLabelSerializer, PreviewSerializer, StepsSerializer
from recognizer.predictions.admin.desk_preview import preview
from recognizer.predictions.admin.desk_question import Question
from recognizer.predictions.admin.desk_steps import take_steps
from recognizer.predictions.admin.desk_tiles import tiles_as_json
from recognizer.predictions.admin.filters import MAX_COUNTED
from recognizer.predictions.desk import WINDOW, claimed_tiles, next_tiles
from recognizer.predictions.models import Prediction, Review
from recognizer.problems import problem
from recognizer.registry.admin.history import StaffRequest
from recognizer.registry.models import Label, RegisteredModel
from recognizer.registry.taxonomy import TaxonomyRefused, add_label

TILES = 48  # a page of them; the next one is asked for while the last ones are judged
MAX_OFFSET = 10_000
View = Callable[..., HttpResponse]


class Malformed(ValueError):
    """What the page sent makes no sense."""


def for_reviewers(view: View) -> View:
    """The door of a view: staff with the permission to review; what makes no sense is a problem document."""

    @wraps(view)
    def ask(request: StaffRequest) -> HttpResponse:
        if not may_review(request):
            return problem(403, "You may not review. Ask an administrator for the permission to add reviews.")
        try:
            return view(request)
        except Malformed as malformed:
            return problem(400, str(malformed))

    return admin.site.admin_view(ask)


def desk_urls() -> list[URLPattern]:
    """The routes below the list of recognitions."""
    return [
        path("desk/", for_reviewers(desk_page), name="predictions_desk"),
        path("desk/tiles/", for_reviewers(tiles), name="predictions_desk_tiles"),
        path("desk/steps/", for_reviewers(steps), name="predictions_desk_steps"),
        path("desk/preview/", for_reviewers(preview_many), name="predictions_desk_preview"),
        path("desk/labels/", for_reviewers(labels), name="predictions_desk_labels"),
        path("desk/labels/new/", for_reviewers(add_class), name="predictions_desk_add_label"),
    ]


@require_GET
def desk_page(request: StaffRequest) -> HttpResponse:
    question = Question(request.GET)
    question.is_valid()
    context = {
        **admin.site.each_context(request),
        "title": "Review desk",
        "question": question,
        "asked": request.GET.urlencode(),
        "model": question.model_asked,
        "may_add_label": request.user.has_perm("registry.add_label"),
    }
    return TemplateResponse(request, "admin/predictions/desk.html", context)


@require_GET
def tiles(request: StaffRequest) -> HttpResponse:
    """The next tiles of the queue, and how much is left of it."""
    question, offset, at_most = _asked(request.GET), _offset(request.GET), MAX_COUNTED
    if question.is_about_claims:
        waiting, at_most = claimed_tiles(question.answers()), WINDOW
        found, left = waiting[offset : offset + TILES], len(waiting)
        total = left
    else:
        order = question.in_order
        found = next_tiles(question.rows(in_order=order), order, offset=offset, size=TILES)
        left, total = _count(question.rows()), _count(question.answers())
    shown = {"tiles": tiles_as_json(found), "left": left, "total": total, "max_counted": at_most}
    return JsonResponse(shown, headers={"Cache-Control": "no-store"})


@require_POST
def steps(request: StaffRequest) -> HttpResponse:
    """Do what the reviewer did, one after the other. 409 when others were faster every time."""
    given = _body(request, StepsSerializer)
    via = Review.Via.BULK if given["bulk"] else Review.Via.DESK
    results = take_steps(given["steps"], reviewer=request.user, via=via)
    is_overtaken = not any(result["done"] for result in results) and any(result.get("review") for result in results)
    return JsonResponse({"results": results}, status=409 if is_overtaken else 200)


@require_POST
def preview_many(request: StaffRequest) -> HttpResponse:
    """What a verdict on the chosen ones, or on all that fit the question, would change."""
    given = _body(request, PreviewSerializer)
    rows = _chosen(given)
    label = None
    if given["verdict"] == Review.Verdict.CORRECTED:
        models = rows.order_by().values("model")
        label = Label.objects.in_use().filter(model__in=models, key=given["label"]).first()
        if label is None:
            raise Malformed(f"There is no label {given['label']!r} in use. Choose another one.")
    return JsonResponse(preview(rows, Review.Verdict(given["verdict"]), label))


def _chosen(given: dict[str, Any]) -> QuerySet[Prediction]:
    if "ids" in given:
        return Prediction.objects.filter(pk__in=given["ids"], status=Prediction.Status.SUCCEEDED)
    return _asked(QueryDict(given.get("question", ""))).rows().order_by("-created_at", "-pk")


@require_GET
def labels(request: StaffRequest) -> HttpResponse:
    """Every label of a model that something can be reviewed into."""
    name = request.GET.get("model", "")
    if "\0" in name:  # PostgreSQL takes none in a text
        raise Malformed("No model has such a name.")
    rows = Label.objects.in_use().filter(model__name=name)
    return JsonResponse({"labels": [_label(label) for label in rows]})


@require_POST
def add_class(request: StaffRequest) -> HttpResponse:
    """A class that the model does not have yet, to review into."""
    if not request.user.has_perm("registry.add_label"):
        return problem(403, "You may not add classes. Ask an administrator for the permission to add labels.")
    given = _body(request, NewLabelSerializer)
    model = RegisteredModel.objects.filter(name=given["model"]).first()
    if model is None:
        raise Malformed(f"There is no model {given['model']!r}.")
    try:
        label = add_label(model, english=given["english"], chinese=given["chinese"])
    except TaxonomyRefused as refused:
        return problem(409, str(refused))
    admin.site.get_model_admin(Label).log_addition(request, label, "Added at the review desk.")
    return JsonResponse(_label(label), status=201)


def _label(label: Label) -> dict[str, str]:
    return {
        "key": label.key,
        "name": label.name,
        "english": label.names.get("en", ""),
        "chinese": label.names.get("zh", ""),
    }


def _asked(words: QueryDict) -> Question:
    question = Question(words)
    if not question.is_valid():
        wrong = "; ".join(f"{field}: {' '.join(map(str, errors))}" for field, errors in question.errors.items())
        raise Malformed(f"Some filters are not usable: {wrong}")
    return question


def _offset(words: QueryDict) -> int:
    text = words.get("offset", "0")
    if not text.isdecimal() or len(text) > 5:
        raise Malformed("offset is a number of tiles.")
    return min(int(text), MAX_OFFSET)


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[:MAX_COUNTED].count()


def _body(request: HttpRequest, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    try:
        sent = serializer(data=json.loads(request.body))
    except (ValueError, RecursionError) as error:
        raise Malformed("Send JSON.") from error
    if not sent.is_valid():
        raise Malformed(f"Some values are not usable: {json.dumps(sent.errors)[:500]}")
    return dict(sent.validated_data)
