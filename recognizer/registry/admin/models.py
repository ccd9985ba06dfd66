"""Registered models: what should serve, what each worker has loaded, and the way back."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.timezone import now
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextareaWidget

from recognizer.registry.admin.asking import Question, ask, is_answered
from recognizer.registry.admin.history import HistoryAdmin, HistoryInline, LoggedAdmin, StaffRequest
from recognizer.registry.models import REPORT_LIFETIME, LoadedVersion, ModelVersion, Promotion, RegisteredModel
from recognizer.registry.promotion import PromotionRefused, may_promote, previous_version, rollback, rolled_back_version
from recognizer.registry.taxonomy import with_label_names


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=2000,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        label="Reason (must be written)",
        help_text="It is kept with the promotion.",
    )


class LoadedVersionInline(HistoryInline):
    model = LoadedVersion
    fields = ("worker", "version", "engine", "device", "precision", "unloaded_at", "seen", "error")
    readonly_fields = fields
    verbose_name_plural = "loaded by workers"

    def get_queryset(self, request: HttpRequest) -> QuerySet[LoadedVersion]:
        return super().get_queryset(request).select_related("version__model")  # type: ignore[no-any-return]

    @admin.display(description="Last seen")
    def seen(self, loaded: LoadedVersion) -> SafeString | str:
        return _last_seen(loaded)


class VersionInline(HistoryInline):
    model = ModelVersion
    fields = ("number", "architecture", "num_classes", "source", "created_at")
    readonly_fields = fields
    show_change_link = True


class PromotionInline(HistoryInline):
    model = Promotion
    fields = ("version", "kind", "gate_shown", "reason", "promoted_by", "created_at")
    readonly_fields = fields
    per_page = 20

    @admin.display(description="Gate")
    def gate_shown(self, promotion: Promotion) -> str:
        return with_label_names(promotion.gate, promotion.version.model)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Promotion]:
        rows: QuerySet[Promotion] = super().get_queryset(request).select_related("version__model", "promoted_by")
        return rows.prefetch_related("version__model__labels")  # gates name them


@admin.register(RegisteredModel)
class RegisteredModelAdmin(LoggedAdmin):
    list_display = ("name", "description", "desired", "loaded", "created_at")
    list_display_links = ("name",)
    list_fullwidth = True
    readonly_fields = ("name", "desired", "loaded", "created_at")
    fields = ("name", "description", "desired", "loaded", "created_at")
    inlines = (LoadedVersionInline, VersionInline, PromotionInline)
    actions = ("roll_back",)
    ordering = ("name",)
    change_form_outer_before_template = "admin/registry/model.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.roll_back_view)
        return [path("<int:pk>/roll-back/", view, name="registry_registeredmodel_roll_back"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        may = {"may_promote": may_promote(request.user), "may_roll_back": self.has_promote_permission(request)}
        drawn = {**may, **_drawn(row)} if row else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **drawn})

    @method_decorator(require_POST)
    def roll_back_view(self, request: StaffRequest, pk: int) -> HttpResponse:
        """One click, no question: when the new version answers nonsense, nobody shall look for words."""
        if not (self.has_view_permission(request) and self.has_promote_permission(request)):
            raise PermissionDenied
        _try_rollback(request, get_object_or_404(RegisteredModel, pk=pk), reason="")
        return redirect("admin:registry_registeredmodel_change", pk)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a model begins with its first import

    def has_delete_permission(self, request: HttpRequest, obj: RegisteredModel | None = None) -> bool:
        return False

    def has_promote_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("registry.add_promotion")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RegisteredModel]:
        desired = Promotion.objects.desired().select_related("version__model")
        loaded = LoadedVersion.objects.select_related("version__model")
        rows: QuerySet[RegisteredModel] = super().get_queryset(request)
        return rows.prefetch_related(
            Prefetch("promotions", desired, to_attr="newest_promotions"),
            Prefetch("loaded_versions", loaded, to_attr="reports"),
        )

    @admin.display(description="Should serve")
    def desired(self, model: Any) -> str:
        return str(model.newest_promotions[0].version) if model.newest_promotions else "nothing is promoted"

    @admin.display(description="Loaded by")
    def loaded(self, model: Any) -> SafeString | str:
        return format_html_join("", "{}", [(_report(row),) for row in model.reports]) or "no worker"

    @admin.action(description="Roll back to the version that served before…", permissions=["promote"])
    def roll_back(self, request: StaffRequest, queryset: QuerySet[RegisteredModel]) -> HttpResponse | None:
        form = ReasonForm(request.POST if is_answered(request) else None)
        if not form.is_valid():
            question = Question(
                title="Roll back",
                text=" ".join([*map(_way_back, queryset), "Workers follow within seconds."]),
                button="Roll back",
            )
            return ask(self, request, rows=queryset, question=question, form=form)
        for model in queryset:
            _try_rollback(request, model, reason=form.cleaned_data["reason"])
        return None


def _drawn(model: RegisteredModel) -> dict[str, Any]:
    """What serves, what served before it, and what may serve next."""
    serving = model.desired_version()
    return {
        "serving": serving,
        "is_first": serving is None,
        "previous": previous_version(model),
        "candidates": [(version, _served_until(model, version)) for version in _candidates(model, serving)],
    }


def _candidates(model: RegisteredModel, serving: ModelVersion | None) -> list[ModelVersion]:
    """The newest version where it is newer than what serves, and the one that was rolled back."""
    newest = model.versions.filter(removed_artifact=None).order_by("-number").first()
    is_newer = newest is not None and (serving is None or newest.number > serving.number)
    found = [newest if is_newer else None, rolled_back_version(model)]
    return [version for version in dict.fromkeys(found) if version and not version.is_removed]


def _served_until(model: RegisteredModel, version: ModelVersion) -> datetime | None:
    """When the version was last followed by another one; None: it never served."""
    last = version.promotions.order_by("-pk").first()
    after = model.promotions.filter(pk__gt=last.pk).order_by("pk").first() if last else None
    return after.created_at if after else None


def _way_back(model: Any) -> str:
    previous = previous_version(model)
    if previous is None:
        return f"No version of {model.name} served before {model.desired_version() or 'now'}."
    return f"{previous} serves again, instead of {model.desired_version()}."


def _try_rollback(request: StaffRequest, model: RegisteredModel, *, reason: str) -> None:
    try:
        promotion = rollback(model, by=request.user, reason=reason)
    except PromotionRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"{promotion.version} serves {model.name} again.")


def _report(row: LoadedVersion) -> SafeString:
    rests = "(loaded when asked for)" if row.unloaded_at else ""
    state = row.error or " ".join(filter(None, [str(row.version), row.engine, row.device, row.precision, rests]))
    return format_html('<span class="rz-report">{}: {}, seen {}</span>', row.worker, state, ago(row.seen_at))


def _last_seen(loaded: LoadedVersion) -> SafeString | str:
    words = ago(loaded.seen_at)
    if loaded.is_live:
        return words
    return format_html('{} <span class="rz-chip rz-bad">no longer reports</span>', words)


def ago(moment: datetime) -> str:
    """How long since, for a person: `just now` while a worker reports."""
    age = now() - moment
    if age < REPORT_LIFETIME:
        return "just now"
    return f"{age.seconds} seconds ago" if age < timedelta(minutes=1) else f"{timesince(moment)} ago"


@admin.register(LoadedVersion)
class LoadedVersionAdmin(HistoryAdmin):
    list_display = ("worker", "model", "version", "engine", "device", "precision", "unloaded_at", "seen", "error")
    list_select_related = ("model", "version__model")

    @admin.display(description="Last seen", ordering="seen_at")
    def seen(self, loaded: LoadedVersion) -> SafeString | str:
        return _last_seen(loaded)
