"""Rows that are looked at in the admin and never edited there."""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib.admin import ShowFacets, display
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from unfold.admin import ModelAdmin, TabularInline, checkbox

# Drawn once: a template rendered for each row's box is a third of a list's time.
BOX_BEFORE, BOX_AFTER = checkbox.render(ACTION_CHECKBOX_NAME, "row").split('value="row"')


class StaffRequest(HttpRequest):
    """A request that came through the admin's door: its user is signed in."""

    user: User


class ReadOnly:
    """Nobody adds, changes or deletes here; who may view, views."""

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class LoggedAdmin(ModelAdmin):
    """The button to the log of edits is there once something was edited: most rows here never are."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        kind = ContentType.objects.get_for_model(self.model)
        logged = LogEntry.objects.filter(content_type=kind, object_id=unquote(object_id))
        context = {"show_history": logged.exists(), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]


class HistoryAdmin(ReadOnly, LoggedAdmin):
    list_fullwidth = True
    list_filter_submit = True
    list_per_page = 30  # drawing a row costs ten times what reading it does
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # a count for each choice of each filter reads the whole table many times

    @display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, row: models.Model) -> SafeString:
        return format_html('{}value="{}"{}', mark_safe(BOX_BEFORE), row.pk, mark_safe(BOX_AFTER))  # noqa: S308  # Unfold's


class HistoryInline(ReadOnly, TabularInline):
    extra = 0
    hide_title = True
    show_change_link = False


def pretty(value: Mapping[str, Any]) -> SafeString:
    """JSON as people read it."""
    return format_html('<pre class="rz-json">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
