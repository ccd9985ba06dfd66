"""What served when: the promotions of a model on a line, and the one in force at a moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.timezone import localtime, now
from unfold.widgets import UnfoldAdminSelectWidget

from recognizer.admin_site import may_view
from recognizer.registry.models import RegisteredModel
from recognizer.registry.taxonomy import with_label_names
from recognizer.registry.timeline import Reign, reigns_of

SECONDS = "%Y-%m-%dT%H:%M:%S"
LISTED = 200  # newest ones; a line of more is a blur
SHORTEST = 0.4  # of 100: a promotion of a minute is still seen on a line of years


class WhenForm(forms.Form):
    model = forms.ModelChoiceField(
        RegisteredModel.objects.all(), to_field_name="name", empty_label=None, widget=UnfoldAdminSelectWidget
    )
    at = forms.DateTimeField(
        required=False,
        label="At",
        widget=forms.DateTimeInput({"type": "datetime-local", "step": 1, "class": "rz-input"}, format=SECONDS),
    )


@dataclass(frozen=True)
class Stretch:
    """The time of one promotion on the line; places are out of 100."""

    reign: Reign
    start: str
    width: str
    tone: int  # of two that alternate
    is_asked: bool


def served_urls() -> list[URLPattern]:
    """The routes below the list of promotions."""
    return [path("served/", admin.site.admin_view(served), name="registry_served")]


def served(request: HttpRequest) -> HttpResponse:
    """The page. A model and a moment that make no sense are told beside the form."""
    if not may_view("registry", "promotion")(request):
        raise PermissionDenied
    first = RegisteredModel.objects.first()
    asked = request.GET.get("model", "").replace("\0", "")  # no text of PostgreSQL holds it
    given = {"model": asked or (first.name if first else ""), "at": request.GET.get("at", "")}
    form = WhenForm({**given, "at": given["at"] or localtime().strftime(SECONDS)})
    context = {"title": "What served when", "form": form, "model": None}
    if form.is_valid():
        at = form.cleaned_data["at"] if given["at"] else now()
        context |= _drawn(form.cleaned_data["model"], at)
    return TemplateResponse(request, "admin/registry/served.html", {**admin.site.each_context(request), **context})


def _drawn(model: RegisteredModel, at: datetime) -> dict[str, Any]:
    reigns = reigns_of(model)
    asked = next((reign for reign in reigns if reign.covers(at)), None)
    return {
        "model": model,
        "at": at,
        "is_future": at > now() + timedelta(minutes=1),
        "asked": asked,
        "gate": with_label_names(asked.promotion.gate, model) if asked else "",
        "reigns": reigns[:LISTED],
        "num_more": max(0, len(reigns) - LISTED),
        "line": _line(reigns[:LISTED], asked),
    }


def _line(reigns: list[Reign], asked: Reign | None) -> list[Stretch]:
    """Oldest first."""
    if not reigns:
        return []
    first, whole = reigns[-1].since, max((now() - reigns[-1].since).total_seconds(), 1.0)
    return [
        Stretch(
            reign,
            start=f"{100 * (reign.since - first).total_seconds() / whole:.3f}",
            width=f"{max(SHORTEST, 100 * ((reign.until or now()) - reign.since).total_seconds() / whole):.3f}",
            tone=number % 2,
            is_asked=reign is asked,
        )
        for number, reign in enumerate(reversed(reigns))
    ]
