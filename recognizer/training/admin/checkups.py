"""The data doctor: check-ups are asked for, their findings decided one by one or together."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminSelectWidget

from recognizer.admin_site import may_view
from recognizer.predictions.admin.cells import MomentCell
from recognizer.predictions.feedback import NotAnswered
from recognizer.predictions.review import Overtaken, WrongLabel
from recognizer.registry.admin.asking import Question
from recognizer.registry.admin.history import HistoryAdmin, StaffRequest, percent
from recognizer.registry.models import RegisteredModel
from recognizer.registry.taxonomy import display_names
from recognizer.training.admin.base_photos import status_chip
from recognizer.training.admin.checkup_page import drawn, may_decide, page_address, visible
from recognizer.training.admin.pictures import thumbnail_response
from recognizer.training.asking import ask_for_checkup
from recognizer.training.checkup_models import CheckUp, Finding, PhotoDecision
from recognizer.training.decisions import NotUndoable, dismiss, fix, undo
from recognizer.training.words import what_changes

VERBS: dict[str, Callable[..., None]] = {"fix": fix, "dismiss": dismiss, "undo": undo}
REFUSALS = (Overtaken, NotUndoable, WrongLabel, NotAnswered)


class CheckUpList(ChangeList):
    """One page of check-ups: without their curves, which are long, and with the findings to decide counted."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[CheckUp]:
        rows: QuerySet[CheckUp] = super().get_queryset(request, exclude_parameters)
        number = Count("findings", filter=Q(findings__resolution=""))
        return rows.annotate(num_open=number).defer("curve", "review_next")


class CheckUpForm(forms.ModelForm[CheckUp]):
    """Whose photos."""

    model = forms.ModelChoiceField(
        RegisteredModel.objects.all(), empty_label="Choose a model", widget=UnfoldAdminSelectWidget
    )

    class Meta:
        model = CheckUp
        fields = ("model",)


@admin.register(CheckUp)
class CheckUpAdmin(MomentCell, HistoryAdmin):
    list_display = ("title", "status_shown", "num_photos", "accuracy", "open_findings", "created_by", "when")
    list_display_links = ("title",)
    list_filter = (("model", RelatedDropdownFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("model", "created_by")
    change_form_outer_before_template = "admin/training/checkup.html"

    class Media:
        js = ("recognizer/waiting.js", "recognizer/doctor.js")
        css = {"all": ("recognizer/doctor.css",)}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("training.add_checkup")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        return super().get_form(request, obj, change, **kwargs) if obj else CheckUpForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [] if obj else [(None, {"fields": list(CheckUpForm.base_fields)})]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CheckUpList

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(
                "findings/<int:pk>/<str:which>/thumbnail/", wrap(self.thumbnail_view), name="training_finding_thumbnail"
            ),
            path("findings/<int:pk>/<str:verb>/", wrap(require_POST(self.decide_view)), name="training_finding_decide"),
            path("<int:pk>/fix-all/", wrap(require_POST(self.fix_all_view)), name="training_checkup_fix_all"),
            *super().get_urls(),
        ]

    def save_model(self, request: StaffRequest, obj: CheckUp, form: forms.Form, change: bool) -> None:
        asked = ask_for_checkup(form.cleaned_data["model"], by=request.user)
        vars(obj).update(vars(asked))
        messages.info(request, "A worker looks at the photos now.")

    def response_add(self, request: HttpRequest, obj: CheckUp, post_url_continue: str | None = None) -> Any:
        return redirect("admin:training_checkup_change", obj.pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        shown = drawn(request, row) if row and self.has_view_permission(request) else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    def thumbnail_view(self, request: HttpRequest, pk: int, which: str) -> HttpResponse:
        finding = self._visible(request, pk)
        if which not in ("one", "other"):
            raise Http404
        return thumbnail_response(finding.blob_id if which == "one" else finding.other_id)

    def decide_view(self, request: StaffRequest, pk: int, verb: str) -> HttpResponse:
        """Fix, dismiss or undo one finding: JSON for the page's script, the page for a browser without."""
        finding = self._visible(request, pk)
        if verb not in VERBS:
            raise Http404
        if not may_decide(request, finding):
            raise PermissionDenied
        problem = _tried(VERBS[verb], finding, request)
        if request.accepts("text/html"):
            if problem:
                messages.error(request, problem)
            return redirect(page_address(request, finding.checkup_id))
        return JsonResponse({"problem": problem}, status=409 if problem else 200)

    def fix_all_view(self, request: StaffRequest, pk: int) -> HttpResponse:
        """Ask first, with all that will change; then do it, each by itself."""
        checkup = get_object_or_404(CheckUp, pk=pk)
        chosen = [number for number in request.POST.getlist("finding") if number.isdecimal() and len(number) < 19]
        rows = visible(request, checkup).open().filter(pk__in=chosen).select_related("checkup__model")
        found = [row for row in rows if may_decide(request, row)]
        if not self.has_view_permission(request) or (chosen and not found and rows):
            raise PermissionDenied
        if "answered" not in request.POST:
            return self._ask(request, checkup, found)
        problems = Counter(problem for row in found if (problem := _tried(fix, row, request)))
        messages.success(request, f"{len(found) - problems.total()} fixed.")
        for problem, number in problems.items():
            messages.error(request, f"{number} not: {problem}")
        return redirect(page_address(request, pk))

    def _ask(self, request: HttpRequest, checkup: CheckUp, found: list[Finding]) -> HttpResponse:
        names = display_names(checkup.model)
        context = {
            **self.admin_site.each_context(request),
            "title": "Fix all shown",
            "question": Question(
                "Fix all shown",
                f"{len(found)} photos will change. Each change can be taken back, below Decided.",
                f"Fix {len(found)}",
            ),
            "rows": [what_changes(row, names) for row in found],
            "found": found,
            "opts": self.opts,
            "media": self.media,
            "answered": "answered",
            "way_back": page_address(request, checkup.pk),
            "kind": request.POST.get("kind", ""),
        }
        return TemplateResponse(request, "admin/training/fix_all.html", context)

    def _visible(self, request: HttpRequest, pk: int) -> Finding:
        """Raises Http404, PermissionDenied."""
        finding = get_object_or_404(Finding.objects.select_related("checkup__model"), pk=pk)
        may_see = not finding.is_upload or may_view("predictions", "prediction")(request)
        if not (self.has_view_permission(request) and may_see):
            raise PermissionDenied
        return finding

    @admin.display(description="Check-up", ordering="pk")
    def title(self, row: CheckUp) -> str:
        return str(row)

    @admin.display(description="Status")
    def status_shown(self, row: CheckUp) -> SafeString:
        return status_chip(row)

    @admin.display(description="Named right")
    def accuracy(self, row: CheckUp) -> str:
        return percent(row.held_out_accuracy)

    @admin.display(description="To decide")
    def open_findings(self, row: Any) -> int:
        return int(row.num_open)


def _tried(step: Callable[..., None], finding: Finding, request: StaffRequest) -> str:
    """Why it could not be done; empty when it is done."""
    try:
        step(finding, by=request.user)
    except REFUSALS as refusal:
        return str(refusal)
    return ""


@admin.register(PhotoDecision)
class PhotoDecisionAdmin(MomentCell, HistoryAdmin):
    list_display = ("photo", "what", "previous_label", "label", "model", "decided_by", "when")
    list_filter = (("model", RelatedDropdownFilter), ("what", ChoicesDropdownFilter))
    list_select_related = ("model", "decided_by")
    search_fields = ("blob_sha256",)
    search_help_text = "SHA-256 of the photo"

    @admin.display(description="Photo")
    def photo(self, row: PhotoDecision) -> str:
        return row.blob_sha256[:12]
