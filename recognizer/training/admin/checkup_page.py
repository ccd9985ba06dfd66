"""What the page of a check-up shows: its tabs, one page of findings, and the learning curve."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from recognizer.admin_site import may_view
from recognizer.predictions.admin import cells
from recognizer.predictions.models import Prediction, Review
from recognizer.registry.taxonomy import display_names
from recognizer.training.admin.base_photos import status_chip
from recognizer.training.admin.curve_picture import class_bars, curve_picture
from recognizer.training.admin.pictures import thumbnail
from recognizer.training.checkup_models import CheckUp, Finding, FindingQuerySet
from recognizer.training.decisions import is_undoable
from recognizer.training.words import about_classes, about_findings, about_scores, about_the_whole, what_fixing_does

TILES = 24  # on a page
IN_WORDS = 3  # classes; the table has all
ENOUGH, DECIDED = "enough", "decided"


@dataclass(frozen=True)
class Tab:
    """One view of the page."""

    key: str
    title: str
    number: int | None
    is_open: bool

    @property
    def query(self) -> str:
        return urlencode({"kind": self.key})


@dataclass(frozen=True)
class Tile:
    """One finding as it is shown."""

    row: Finding
    pictures: list[SafeString]
    why: str
    scores: str
    fixing: str
    is_undoable: bool
    may_decide: bool


def visible(request: HttpRequest, checkup: CheckUp) -> FindingQuerySet:
    """Findings about uploads are for those who may see recognitions."""
    rows = Finding.objects.filter(checkup=checkup)
    return rows if may_view("predictions", "prediction")(request) else rows.filter(is_upload=False)


def may_decide(request: HttpRequest, finding: Finding) -> bool:
    """About an upload decides who may review."""
    may_review = not finding.is_upload or request.user.has_perm("predictions.add_review")
    return request.user.has_perm("training.add_photodecision") and may_review


def page_address(request: HttpRequest, checkup: int) -> str:
    """The page of the check-up, at the tab that a form came from."""
    address = reverse("admin:training_checkup_change", args=[checkup])
    kind = request.POST.get("kind", "")
    return f"{address}?{urlencode({'kind': kind})}" if kind else address


def drawn(request: HttpRequest, checkup: CheckUp) -> dict[str, Any]:
    """The template's context."""
    rows = visible(request, checkup)
    tabs = _tabs(request, checkup, rows)
    names = display_names(checkup.model)
    chosen = next(tab.key for tab in tabs if tab.is_open)
    return {
        "title": str(checkup),
        "status_chip": status_chip(checkup),
        "tabs": tabs,
        "chosen": chosen,
        "num_hidden": checkup.findings.open().count() - rows.open().count(),
        **(_enough(request, checkup, names) if chosen == ENOUGH else _grid(request, rows, chosen, names)),
    }


def _tabs(request: HttpRequest, checkup: CheckUp, rows: FindingQuerySet) -> list[Tab]:
    counts = dict(rows.open().order_by().values_list("kind").annotate(number=Count("pk")))
    kinds = [(kind.value, str(kind.label).capitalize(), counts.get(kind.value, 0)) for kind in Finding.Kind]
    keys = {*Finding.Kind.values, ENOUGH, DECIDED}
    asked = request.GET.get("kind", "")
    first = next((key for key, _, number in kinds if number), ENOUGH)
    chosen = asked if asked in keys else first
    all_tabs: list[tuple[str, str, int | None]] = [
        *kinds,
        (DECIDED, "Decided", rows.decided().count()),
        (ENOUGH, "Have I labelled enough?", None),
    ]
    return [Tab(key, title, number, key == chosen) for key, title, number in all_tabs]


def _grid(request: HttpRequest, rows: FindingQuerySet, chosen: str, names: dict[str, str]) -> dict[str, Any]:
    some = rows.decided().order_by("-resolved_at") if chosen == DECIDED else rows.open().filter(kind=chosen)
    page = Paginator(some.select_related("resolved_by"), TILES).get_page(request.GET.get("page"))
    tiles = [_tile(request, row, names) for row in page]
    return {
        "page": page,
        "tiles": tiles,
        "is_decided": chosen == DECIDED,
        "num_fixable": sum(tile.may_decide for tile in tiles) if chosen != DECIDED else 0,
    }


def _tile(request: HttpRequest, row: Finding, names: dict[str, str]) -> Tile:
    labels = {"one": row.label, "other": row.other_label} if row.other_id else {"one": row.label}
    pictures = [
        thumbnail(
            reverse("admin:training_finding_thumbnail", args=[row.pk, which]), f"labelled {names.get(label, label)}"
        )
        for which, label in labels.items()
    ]
    return Tile(
        row,
        pictures,
        about_findings(row, names),
        about_scores(row, names),
        what_fixing_does(row, names),
        is_undoable(row),
        may_decide(request, row),
    )


def _enough(request: HttpRequest, checkup: CheckUp, names: dict[str, str]) -> dict[str, Any]:
    return {
        "sentences": list(about_the_whole(checkup)),
        "of_classes": list(about_classes(checkup, names))[: IN_WORDS + len(checkup.curve.get("too_few", {}))],
        "picture": curve_picture(checkup.curve) if checkup.curve else None,
        "bars": class_bars(checkup.curve, names) if checkup.curve else [],
        "review_next": _review_next(request, checkup, names),
    }


def _review_next(request: HttpRequest, checkup: CheckUp, names: dict[str, str]) -> list[dict[str, Any]]:
    """By class: those that are still there and unreviewed, and the way to all of that class."""
    if not may_view("predictions", "prediction")(request):
        return []
    asked = [one["prediction"] for one in checkup.review_next]
    answers = Prediction.objects.filter(pk__in=asked, status=Prediction.Status.SUCCEEDED).select_related("image")
    reviewed = set(Review.objects.filter(prediction__in=asked).values_list("prediction", flat=True))
    left = {str(row.pk): row for row in answers if row.pk not in reviewed}
    found = [(left[one["prediction"]], one["margin"]) for one in checkup.review_next if one["prediction"] in left]
    return [
        {
            "name": names.get(label, label),
            "address": _unreviewed_address(checkup, label),
            "answers": [
                {
                    "picture": cells.thumbnail(row),
                    "address": reverse("admin:predictions_prediction_change", args=[row.pk]),
                    "margin": f"{100 * margin:.0f}",
                }
                for row, margin in found
                if row.label == label
            ],
        }
        for label in dict.fromkeys(row.label for row, _ in found)
    ]


def _unreviewed_address(checkup: CheckUp, label: str) -> str:
    """The list of recognitions with the filters set."""
    filters = {"label": f"key:{label}", "verdict": "none", "model__id__exact": checkup.model_id}
    return f"{reverse('admin:predictions_prediction_changelist')}?{urlencode(filters)}"
