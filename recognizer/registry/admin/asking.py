"""One more page between choosing an action and doing it: for a reason, a label or a plain yes."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

ANSWERED = "answered"  # the button of the asking page
OPENED = "opened"  # the row on whose own page the action was chosen, which is where it leads back to


@dataclass(frozen=True)
class Question:
    """What the page says. `is_final`: it cannot be undone."""

    title: str
    text: str
    button: str
    warning: str = ""
    is_final: bool = False


def is_answered(request: HttpRequest) -> bool:
    return ANSWERED in request.POST


def own_page(model_admin: ModelAdmin[Any], request: HttpRequest) -> str:
    """The address of the page that the action was chosen on; empty when that was the list."""
    opened = request.POST.get(OPENED, "")
    names = model_admin.opts.app_label, model_admin.opts.model_name
    return reverse("admin:{}_{}_change".format(*names), args=[quote(opened)]) if opened else ""


def ask(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    rows: QuerySet[Any] | list[Any],
    question: Question,
    form: forms.Form | None = None,
    template: str = "admin/ask.html",
) -> TemplateResponse:
    """The page that asks. Its button runs the same action again, with the answer."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": question.title,
        "question": question,
        "form": form,
        "rows": rows,
        "opts": model_admin.opts,
        "media": model_admin.media + form.media if form else model_admin.media,
        "action": request.POST.get("action", ""),
        "answered": ANSWERED,
        "opened_name": OPENED,
        "opened": request.POST.get(OPENED, ""),
        "way_back": own_page(model_admin, request) or request.get_full_path(),
        "checkbox": ACTION_CHECKBOX_NAME,
        "pks": [str(row.pk) for row in rows if isinstance(row, Model)],
    }
    return TemplateResponse(request, template, context)
