"""Judgements: may a version take the place of what serves, in words and pictures, and the buttons that decide."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import RelatedDropdownFilter

from recognizer.predictions.admin import cells
from recognizer.predictions.admin.cells import MomentCell
from recognizer.registry.admin.history import HistoryAdmin, StaffRequest
from recognizer.registry.models import Judgement, ModelVersion
from recognizer.registry.promotion import PromotionRefused, promote
from recognizer.registry.taxonomy import with_label_names
from recognizer.training.admin.base_photos import status_chip
from recognizer.training.admin.judgement_page import draw
from recognizer.training.judgings import ask_for_judgement
from recognizer.training.models import Judging

MAX_REASON = 2000  # characters, as where a promotion is asked for by itself


@admin.register(Judgement)
class JudgementAdmin(MomentCell, HistoryAdmin):
    list_display = ("title", "verdict", "change", "test_state", "created_by", "when")
    list_display_links = ("title",)
    list_filter = (("candidate__model", RelatedDropdownFilter), "passed")
    list_select_related = ("candidate__model", "serving__model", "test_state__model", "created_by")
    change_form_outer_before_template = "admin/training/judgement.html"

    def get_urls(self) -> list[URLPattern]:
        asking, promoting = (self.admin_site.admin_view(view) for view in (self.ask_view, self.promote_view))
        return [
            path("ask/", asking, name="registry_judgement_ask"),
            path("<int:pk>/promote/", promoting, name="registry_judgement_promote"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Judgement]:
        rows: QuerySet[Judgement] = super().get_queryset(request)
        return rows.select_related(*self.list_select_related)

    def get_fieldsets(self, request: HttpRequest, obj: Judgement | None = None) -> list[Any]:
        return []  # the template draws it

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        drawn = draw(request, row) if row and self.has_view_permission(request, row) else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **drawn})

    @method_decorator(require_POST)
    def ask_view(self, request: StaffRequest) -> HttpResponse:
        """Let a worker judge the version `version` against what serves."""
        if not request.user.has_perm("registry.add_judgement"):
            raise PermissionDenied
        number = request.POST.get("version", "")
        version = get_object_or_404(ModelVersion, pk=number if number.isdecimal() and len(number) < 19 else 0)
        judging = ask_for_judgement(version, by=request.user)
        messages.info(request, f"A worker judges {version} now.")
        if not request.user.has_perm("training.view_judging"):
            return redirect("admin:registry_modelversion_change", version.pk)
        return redirect("admin:training_judging_change", judging.pk)

    @method_decorator(require_POST)
    def promote_view(self, request: StaffRequest, pk: int) -> HttpResponse:
        """Promote the candidate; the gate decides anew."""
        if not (self.has_view_permission(request) and request.user.has_perm("registry.add_promotion")):
            raise PermissionDenied
        version = get_object_or_404(Judgement, pk=pk).candidate
        try:
            reason = forms.CharField(required=False).clean(request.POST.get("reason", ""))[:MAX_REASON]
            promote(version, by=request.user, reason=reason, force="force" in request.POST)
        except PromotionRefused as refused:
            messages.error(request, with_label_names(str(refused), version.model))
        except ValidationError as invalid:
            messages.error(request, f"The reason cannot be kept. {' '.join(invalid.messages)}")
        else:
            messages.success(request, f"{version} serves from now on. Workers follow within seconds.")
        return redirect("admin:registry_judgement_change", pk)

    @admin.display(description="Judgement")
    def title(self, row: Judgement) -> str:
        return str(row)

    @admin.display(description="Verdict")
    def verdict(self, row: Judgement) -> SafeString:
        return cells.chip("promote", "good") if row.passed else cells.chip("refuse", "bad")

    @admin.display(description="Accuracy")
    def change(self, row: Judgement) -> str:
        return f"{row.figures['accuracy']['difference'] * 100:+.1f} points"


@admin.register(Judging)
class JudgingAdmin(MomentCell, HistoryAdmin):
    list_display = ("candidate", "status_shown", "outcome", "created_by", "when")
    list_filter = (("candidate__model", RelatedDropdownFilter),)
    list_select_related = ("candidate__model", "created_by")
    change_form_outer_before_template = "admin/training/judging.html"

    class Media:
        js = ("recognizer/waiting.js",)

    def get_fieldsets(self, request: HttpRequest, obj: Judging | None = None) -> list[Any]:
        return []  # the template draws it

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row and row.judgement_id and request.user.has_perm("registry.view_judgement"):
            return redirect("admin:registry_judgement_change", row.judgement_id)
        drawn = {"title": f"Judging {row.candidate}", "status_chip": status_chip(row)} if row else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **drawn})

    @admin.display(description="Status")
    def status_shown(self, row: Judging) -> SafeString:
        return status_chip(row)

    @admin.display(description="Outcome")
    def outcome(self, row: Judging) -> str:
        if row.judgement_id:
            return "judged"
        return row.error or row.progress
