"""Training runs: asked for by a form, watched while they go, stopped, and looked back at."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from classifier_core.architecture_names import why_unknown
from classifier_core.errors import TrainingFailed
from classifier_core.reports.redaction import without_photos
from recognizer.admin_site import may_view
from recognizer.predictions.admin import cells
from recognizer.predictions.admin.cells import MomentCell
from recognizer.registry.admin.history import HistoryAdmin, StaffRequest, percent
from recognizer.registry.models import ModelVersion, Promotion
from recognizer.registry.promotion import may_promote
from recognizer.storage import reachable
from recognizer.training import run_asking
from recognizer.training.admin.curves import draw_charts
from recognizer.training.models import DatasetSnapshot
from recognizer.training.run_models import TrainingRun
from recognizer.training.run_options import ARCHITECTURES, RunOptions, weights_files

STATUS_TONES = {"pending": "wait", "running": "wait", "ready": "good", "failed": "bad", "cancelled": "gone"}
# A report is a page made from photos and names: it runs nothing, loads nothing and is of no origin.
REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
MAX_EPOCHS = 1000


def status_chip(run: TrainingRun) -> SafeString:
    return cells.chip(run.status, STATUS_TONES[run.status])


class SuggestedNames(UnfoldAdminTextInputWidget):
    """A line of text with names to choose from."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(attrs={"list": "suggested-names", "autocomplete": "off"})
        self._names = names

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        options = format_html_join("", '<option value="{}"></option>', ((one,) for one in self._names))
        line = super().render(name, value, attrs, renderer)
        return format_html('{}<datalist id="suggested-names">{}</datalist>', line, options)


def _starts() -> list[Any]:
    """What a run may start from."""
    versions = ModelVersion.objects.filter(removed_artifact=None).select_related("model")
    rows = [(f"version:{version.pk}", f"{version} ({version.architecture})") for version in versions]
    files = [(f"file:{name}", name) for name in weights_files()]
    groups = [("Weights of a version", rows), ("Weights of a file", files)]
    plain = [("serving", "The version that serves"), ("scratch", "From scratch: nothing is known before")]
    return [*plain, *((name, group) for name, group in groups if group)]


def _likely_start(snapshots: QuerySet[DatasetSnapshot], chosen: Any) -> str:
    """What serves; where nothing does, what serves another model, which has learned to see."""
    wanted = snapshots.filter(pk=chosen) if str(chosen).isdecimal() and len(str(chosen)) < 19 else snapshots
    snapshot = wanted.order_by("-pk").first()
    if snapshot is None or snapshot.model.desired_version():
        return "serving"
    other = Promotion.objects.desired().filter(version__removed_artifact=None).order_by("pk").first()
    return f"version:{other.version_id}" if other else "scratch"


class TrainForm(forms.ModelForm[TrainingRun]):
    """What to learn from, and how."""

    snapshot = forms.ModelChoiceField(
        DatasetSnapshot.objects.none(), empty_label="Choose a snapshot", widget=UnfoldAdminSelectWidget
    )
    start = forms.ChoiceField(choices=_starts, widget=UnfoldAdminSelectWidget, label="Start from")
    preset = forms.ChoiceField(
        choices=TrainingRun.Preset.choices,
        initial=TrainingRun.Preset.QUICK,
        widget=UnfoldAdminSelectWidget,
        help_text="Quick takes minutes. Balanced and thorough take many times as long: without a GPU up to hours.",
    )
    architecture = forms.CharField(
        required=False,
        max_length=100,
        widget=SuggestedNames(ARCHITECTURES),
        help_text="Leave it empty to keep that of the version it starts from.",
    )
    epochs = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_EPOCHS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Passes over the photos. Leave it empty for the preset's.",
    )
    image_size = forms.IntegerField(
        required=False,
        min_value=8,
        max_value=2048,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Pixels. Leave it empty to keep the model's.",
    )

    class Meta:
        model = TrainingRun
        fields = ("snapshot", "architecture", "preset")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        snapshots = self.fields["snapshot"]
        assert isinstance(snapshots, forms.ModelChoiceField)  # noqa: S101  # for the type checker
        snapshots.queryset = DatasetSnapshot.objects.ready().select_related("model")
        self.initial.setdefault("start", _likely_start(snapshots.queryset, self.initial.get("snapshot")))

    def clean_architecture(self) -> str:
        name: str = self.cleaned_data["architecture"]
        if name and (unknown := why_unknown(name)):
            raise ValidationError(unknown)
        return name

    def clean(self) -> dict[str, Any]:
        super().clean()
        if not self.errors:
            try:
                run_asking.check(self.cleaned_data["snapshot"], self.options())
            except TrainingFailed as error:
                raise ValidationError(str(error)) from error
        return self.cleaned_data

    def options(self) -> RunOptions:
        """What was filled in."""
        return RunOptions(**{name: self.cleaned_data[name] for name in self.cleaned_data if name != "snapshot"})

    def _post_clean(self) -> None:
        """The row is made by the step."""


@admin.register(TrainingRun)
class TrainingRunAdmin(MomentCell, HistoryAdmin):
    list_display = (
        "title", "status_shown", "snapshot", "architecture", "preset", "goes", "candidate", "created_by", "when",
    )  # fmt: skip
    list_display_links = ("title",)
    list_filter = (("model", RelatedDropdownFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("model", "snapshot__model", "candidate__model", "created_by")
    change_form_outer_before_template = "admin/training/run.html"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("training.add_trainingrun")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        return super().get_form(request, obj, change, **kwargs) if obj else TrainForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        asked = ["snapshot", "start", "preset", "architecture", "epochs", "image_size"]
        return [] if obj else [(None, {"fields": asked})]

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {
            "progress": self.progress_view,
            "report": self.report_view,
            "cancel": require_POST(self.cancel_view),
            "go-on": require_POST(self.go_on_view),
        }
        own = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"training_trainingrun_{name}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def save_model(self, request: StaffRequest, obj: TrainingRun, form: TrainForm, change: bool) -> None:
        asked = run_asking.ask_for_run(form.cleaned_data["snapshot"], form.options(), by=request.user)
        vars(obj).update(vars(asked))
        messages.info(request, "It starts as soon as the train worker is free.")

    def response_add(self, request: HttpRequest, obj: TrainingRun, post_url_continue: str | None = None) -> Any:
        return _to_page(obj)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "submit_word": "Train"}
        return super().add_view(request, form_url, context)  # type: ignore[no-any-return]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        drawn = _drawn(request, run) if run else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **drawn})

    # Doors of the page

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = self._seen(request, pk)
        charts = [asdict(chart) for chart in draw_charts(run.curves, run.num_epochs)]
        told = {"status": run.status, "progress": _progress(run), "eta": _remaining(run), "attempts": run.attempts}
        figures = {"epoch": run.epoch, "num_epochs": run.num_epochs, "curves": run.curves, "charts": charts}
        return JsonResponse({**told, **figures, "log": run.log_tail}, headers={"Cache-Control": "no-store"})

    def report_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = self._seen(request, pk)
        with reachable():
            if not default_storage.exists(run.report_name):
                raise Http404(f"There is no report of {run} (any more).")
            with default_storage.open(run.report_name) as file:
                page = file.read().decode()
        if run.has_erased_photos() or not may_view("predictions", "prediction")(request):
            page = without_photos(page)
        headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"}
        return HttpResponse(page, headers={**headers, "X-Content-Type-Options": "nosniff"})

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = self._changed(request, pk)
        if run.cancel():
            messages.success(request, "It stops within seconds. What it learned so far is kept for a week.")
        else:
            messages.warning(request, "It had ended already.")
        return _to_page(run)

    def go_on_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = self._changed(request, pk)
        if run_asking.go_on(run):
            messages.success(request, "It goes on as soon as the train worker is free.")
        else:
            messages.warning(request, "It has not stopped, so there is nothing to go on with.")
        return _to_page(run)

    def _seen(self, request: HttpRequest, pk: int) -> TrainingRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(TrainingRun.objects.select_related("model", "snapshot"), pk=pk)

    def _changed(self, request: HttpRequest, pk: int) -> TrainingRun:
        if not _may_change(request):
            raise PermissionDenied
        return get_object_or_404(TrainingRun, pk=pk)

    # Cells of the list

    @admin.display(description="Run", ordering="number")
    def title(self, run: TrainingRun) -> str:
        return str(run)

    @admin.display(description="Status")
    def status_shown(self, run: TrainingRun) -> SafeString:
        return status_chip(run)

    @admin.display(description="Epochs")
    def goes(self, run: TrainingRun) -> str:
        return f"{run.epoch} of {run.num_epochs}"


def _may_change(request: HttpRequest) -> bool:
    return request.user.has_perm("training.change_trainingrun")


def _may_promote_first(request: HttpRequest, candidate: ModelVersion) -> bool:
    return may_promote(request.user) and not candidate.is_removed and candidate.model.desired_version() is None


def _to_page(run: TrainingRun) -> HttpResponseRedirect:
    return redirect("admin:training_trainingrun_change", run.pk)


def _drawn(request: HttpRequest, run: TrainingRun) -> dict[str, Any]:
    evaluation = run.candidate.evaluations.exclude(source="").first() if run.candidate else None
    with reachable():
        has_report = run.is_finished and not run.cleaned_at and default_storage.exists(run.report_name)
    return {
        "title": str(run),
        "status_chip": status_chip(run),
        "progress": _progress(run),
        "eta": _remaining(run),
        "charts": draw_charts(run.curves, run.num_epochs),
        "preset": run.get_preset_display(),
        "has_report": has_report,
        "accuracy": percent(evaluation.accuracy) if evaluation else "",
        "evaluation": evaluation,
        "may_promote_first": run.candidate is not None and _may_promote_first(request, run.candidate),
        "may_cancel": not run.is_finished and not run.cancel_requested_at and _may_change(request),
        "may_go_on": run.status in ("failed", "cancelled") and _may_change(request),
        "options": sorted(run.config.items()),
    }


def _progress(run: TrainingRun) -> str:
    if run.is_finished:
        return run.error
    if run.cancel_requested_at:
        return "It is being stopped."
    if run.status == TrainingRun.Status.RUNNING:
        return run.progress or "It begins."
    is_ready = run.snapshot.status == DatasetSnapshot.Status.READY
    return "It waits for the train worker." if is_ready else f"It waits for {run.snapshot}."


def _remaining(run: TrainingRun) -> str:
    """About how long, in words; nothing of a run that is being stopped."""
    seconds = run.eta_seconds
    if seconds is None or run.cancel_requested_at:
        return ""
    if seconds < 90:
        return f"about {seconds} seconds left"
    minutes = round(seconds / 60)
    return f"about {minutes} minutes left" if minutes < 90 else f"about {minutes / 60:.1f} hours left"
