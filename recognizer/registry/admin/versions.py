"""Versions, their figures, and the ledger of promotions."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldBooleanSwitchWidget

from recognizer.registry.admin.asking import Question, ask, is_answered, own_page
from recognizer.registry.admin.history import HistoryAdmin, HistoryInline, StaffRequest, percent, pretty
from recognizer.registry.admin.models import ReasonForm
from recognizer.registry.admin.served import served_urls
from recognizer.registry.admin.timings import timings_drawn
from recognizer.registry.models import Evaluation, ModelVersion, Promotion
from recognizer.registry.promotion import PromotionRefused, may_promote, promote
from recognizer.registry.taxonomy import with_label_names

SERVES = SafeString('<span class="rz-chip rz-good">serves</span>')
MAX_JUDGEMENTS = 10  # listed on the page of a version


class PromoteForm(ReasonForm):
    force = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Force",
        help_text="Promote even when it was not measured to be at least as good as what serves.",
    )


class EvaluationInline(HistoryInline):
    model = Evaluation
    fields = ("dataset", "num_images", "accuracy_shown", "recall_shown", "engine", "precision", "source", "created_at")
    readonly_fields = fields

    @admin.display(description="Accuracy")
    def accuracy_shown(self, evaluation: Evaluation) -> str:
        return percent(evaluation.accuracy)

    @admin.display(description="Macro recall")
    def recall_shown(self, evaluation: Evaluation) -> str:
        return percent(evaluation.macro_recall)


@admin.register(ModelVersion)
class ModelVersionAdmin(HistoryAdmin):
    list_display = ("title", "serves", "architecture", "num_classes", "source", "created_at", "created_by")
    list_display_links = ("title",)
    list_filter = (("model", RelatedDropdownFilter),)
    list_select_related = ("model", "created_by")
    search_fields = ("artifact_sha256", "architecture")
    search_help_text = "Start of the artifact's SHA-256, or the architecture"
    inlines = (EvaluationInline,)
    actions = ("promote",)
    change_form_outer_before_template = "admin/registry/version.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "title",
                    "architecture",
                    "num_classes",
                    "artifact_sha256",
                    "source",
                    "learned",
                    "skipped_checks",
                )
            },
        ),
        ("Parity of the engine files", {"fields": ("parity_shown",)}),
        ("What the artifact says of itself", {"fields": ("manifest_shown",)}),
        ("Made", {"fields": ("created_at", "created_by")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        rows: QuerySet[ModelVersion] = super().get_queryset(request)
        return rows.annotate(is_desired=Exists(Promotion.objects.desired().filter(version=OuterRef("pk"))))

    def has_promote_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("registry.add_promotion")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        serving = row.model.desired_version() if row else None
        is_other = row is not None and serving != row and not row.is_removed
        drawn: dict[str, Any] = {
            "serves": row is not None and serving == row,
            "is_first": serving is None,
            "may_judge": is_other and serving is not None and request.user.has_perm("registry.add_judgement"),
            "may_promote": is_other and may_promote(request.user),
        }
        if row and request.user.has_perm("registry.view_judgement"):
            newest = row.judgements.select_related("candidate__model", "serving__model")
            drawn["judgements"] = newest.defer("figures", "flipped", "rules")[:MAX_JUDGEMENTS]
        if row:
            drawn |= timings_drawn(row)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **drawn})

    @admin.display(description="Version", ordering="model")
    def title(self, version: ModelVersion) -> str:
        return str(version)

    @admin.display(description="")
    def serves(self, version: Any) -> SafeString | str:
        return SERVES if version.is_desired else ""

    @admin.display(description="")
    def learned(self, version: ModelVersion) -> SafeString | str:
        known = version.learned_photos.count()
        words = f"{known:,} photos" if known else "photos that are not known here"
        if version.is_removed:
            words = f"{words}; its artifact was removed to make room, so it cannot serve any more"
        erased = version.num_erased
        if not erased:
            return words
        told = f"{erased:,} photos it learned from were erased since. Train anew without them."
        return format_html('{} <span class="rz-warning">{}</span>', words, told)

    @admin.display(description="")
    def parity_shown(self, version: ModelVersion) -> SafeString:
        return pretty(version.parity)

    @admin.display(description="")
    def manifest_shown(self, version: ModelVersion) -> SafeString:
        return pretty(version.manifest)

    @admin.action(description="Promote…", permissions=["promote"])
    def promote(self, request: StaffRequest, queryset: QuerySet[ModelVersion]) -> HttpResponse | None:
        if queryset.count() != 1:
            messages.error(request, "Choose one version: only one can serve.")
            return None
        version = queryset.select_related("model").get()
        form = _form_for(version)(request.POST if is_answered(request) else None)
        if not form.is_valid() or not _try_promote(request, version, form.cleaned_data):
            return ask(self, request, rows=[version], question=_question(version), form=form)
        page = own_page(self, request)
        return redirect(page) if page else None


def _form_for(version: ModelVersion) -> type[ReasonForm]:
    """Where nothing serves there is no gate to force."""
    return PromoteForm if version.model.desired_version() else ReasonForm


def _question(version: ModelVersion) -> Question:
    serving = version.model.desired_version()
    first = "" if serving else " It is the first, so there is nothing to compare it with."
    text = f"{version} answers from now on, instead of {serving or 'nothing'}.{first} Workers follow within seconds."
    return Question(title=f"Promote {version}", text=text, button="Promote", warning=version.skipped_checks)


def _try_promote(request: StaffRequest, version: ModelVersion, answer: dict[str, Any]) -> bool:
    try:
        promote(version, by=request.user, reason=answer["reason"], force=answer.get("force", False))
    except PromotionRefused as refused:
        messages.error(request, with_label_names(str(refused), version.model))
        return False
    messages.success(request, f"{version} serves from now on.")
    return True


@admin.register(Evaluation)
class EvaluationAdmin(HistoryAdmin):
    list_display = ("version", "dataset", "num_images", "accuracy_shown", "recall_shown", "engine", "created_at")
    list_filter = (("version__model", RelatedDropdownFilter),)
    list_select_related = ("version__model",)
    fields = (
        "version", "dataset", "dataset_sha256", "num_images", "accuracy_shown", "recall_shown",
        "engine", "precision", "source", "metrics_shown", "created_at",
    )  # fmt: skip

    @admin.display(description="Accuracy", ordering="accuracy")
    def accuracy_shown(self, evaluation: Evaluation) -> str:
        return percent(evaluation.accuracy)

    @admin.display(description="Macro recall", ordering="macro_recall")
    def recall_shown(self, evaluation: Evaluation) -> str:
        return percent(evaluation.macro_recall)

    @admin.display(description="Metrics")
    def metrics_shown(self, evaluation: Evaluation) -> SafeString:
        return pretty(evaluation.metrics)


@admin.register(Promotion)
class PromotionAdmin(HistoryAdmin):
    list_display = ("version", "kind", "gate_shown", "reason", "promoted_by", "created_at")
    list_filter = (("model", RelatedDropdownFilter), ("kind", ChoicesDropdownFilter))
    list_select_related = ("version__model", "promoted_by")
    fields = ("model", "version", "kind", "gate_shown", "judgement", "reason", "promoted_by", "created_at")

    @admin.display(description="Gate", ordering="gate")
    def gate_shown(self, promotion: Promotion) -> str:
        return with_label_names(promotion.gate, promotion.version.model)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Promotion]:
        rows: QuerySet[Promotion] = super().get_queryset(request)
        return rows.prefetch_related("version__model__labels")  # gates name them

    def get_urls(self) -> list[URLPattern]:
        return [*served_urls(), *super().get_urls()]
