"""Versions on trial: what they say beside the live answers, day by day, class by class, picture by picture."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RelatedDropdownFilter

from recognizer.admin_site import may_view
from recognizer.predictions import agreement
from recognizer.predictions.admin import cells
from recognizer.predictions.admin.cells import MomentCell
from recognizer.predictions.admin.filters import CappedPaginator
from recognizer.predictions.admin.trial_forms import ReplayForm, ShadowForm
from recognizer.predictions.agreement import Tally
from recognizer.predictions.models import Prediction, PredictionQuerySet, Review, SecondOpinion, Trial
from recognizer.predictions.trials import TrialRefused, ask_for_replay, start_shadow
from recognizer.registry.admin.history import HistoryAdmin, StaffRequest
from recognizer.registry.models import Label, ModelVersion

TILES = 24
NONE = "none of my classes"
Names = dict[str, str]


@dataclass(frozen=True)
class DayBar:
    """One day of the chart; places are out of 100."""

    tally: Tally
    start: str
    width: str

    @property
    def height(self) -> str:
        return f"{self.tally.share * 100:.2f}"

    @property
    def top(self) -> str:
        return f"{100 - self.tally.share * 100:.2f}"


@dataclass(frozen=True)
class Tile:
    """One recognition about which the two differ, as the page draws it."""

    opinion: SecondOpinion
    picture: SafeString
    live: str
    trial: str
    verdict: SafeString | str
    right: str


class DisagreesFilter(DropdownFilter):
    """Recognitions about which a version on trial says something else."""

    title = "second opinion differs"
    parameter_name = "disagrees"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(version.pk), str(version)) for version in agreement.tried_versions()]

    def queryset(self, request: HttpRequest, queryset: PredictionQuerySet) -> PredictionQuerySet:
        known = {value for value, _ in self.lookup_choices}
        return agreement.disagreeing(queryset, int(self.value() or 0)) if self.value() in known else queryset


@admin.register(Trial)
class TrialAdmin(MomentCell, HistoryAdmin):
    list_display = ("title", "kind", "about", "progress", "state", "created_by", "when")
    list_display_links = None
    list_filter = (("model", RelatedDropdownFilter), ("kind", ChoicesDropdownFilter))
    list_select_related = ("version__model", "created_by", "ended_by")
    fields = ("title", "kind", "about", "progress", "state", "created_by", "when", "ended_at", "ended_by")
    paginator = CappedPaginator

    class Media:
        js = ("recognizer/waiting.js",)

    def has_start_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("predictions.add_trial")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.version_view)
        return [path("version/<int:pk>/", view, name="predictions_trial_version"), *super().get_urls()]

    def version_view(self, request: StaffRequest, pk: int) -> HttpResponse:
        """One version beside the live answers: what it says, and the forms that put it on trial."""
        if not (self.has_view_permission(request) and may_view("predictions", "prediction")(request)):
            raise PermissionDenied
        version = get_object_or_404(ModelVersion.objects.select_related("model"), pk=pk)
        may_start, do = self.has_start_permission(request), request.POST.get("do", "")
        if request.method == "POST" and not may_start:
            raise PermissionDenied
        shadow = ShadowForm(request.POST if do == "shadow" else None)
        replay = ReplayForm(request.POST if do == "replay" else None, version=version)
        if request.method == "POST" and _done(request, version, shadow=shadow, replay=replay):
            return redirect(request.path)
        asked = {"may_start": may_start, "shadow_form": shadow, "replay_form": replay}
        context = self.admin_site.each_context(request) | asked | _drawn(request, version)
        media = self.media + shadow.media + replay.media
        return TemplateResponse(request, "admin/predictions/trial.html", context | {"media": media})

    @admin.display(description="Version", ordering="version")
    def title(self, trial: Trial) -> SafeString:
        return format_html('<a class="rz-link" href="{}">{}</a>', page_of(trial.version_id), trial.version)

    @admin.display(description="Asked about")
    def about(self, trial: Trial) -> str:
        return about(trial)

    @admin.display(description="Opinions")
    def progress(self, trial: Trial) -> str:
        return progress(trial)

    @admin.display(description="State")
    def state(self, trial: Trial) -> SafeString:
        return state_chip(trial)


def page_of(version_id: int) -> str:
    """The address of the page that shows the version beside the live answers."""
    return reverse("admin:predictions_trial_version", args=[version_id])


def about(trial: Trial) -> str:
    """Which recognitions, in words."""
    if trial.is_shadow:
        return f"{trial.share * 100:g} % of new recognitions"
    kind = "reviewed recognitions" if trial.only_reviewed else "recognitions"
    return f"the newest {trial.num_wanted or 0:,} {kind}{f' answered with {trial.label}' if trial.label else ''}"


def progress(trial: Trial) -> str:
    return f"{trial.num_passed:,}" + ("" if trial.num_wanted is None else f" of {trial.num_wanted:,}")


def state_chip(trial: Trial) -> SafeString:
    if trial.is_running:
        return cells.chip("running", "wait")
    if trial.ending:
        return cells.chip(trial.ending, "gone")
    return cells.chip("stopped", "gone") if trial.ended_by_id or trial.is_shadow else cells.chip("done", "good")


def second_opinions_of(row: Prediction, names: dict[tuple[int, str], str]) -> list[dict[str, Any]]:
    """What versions on trial say about this recognition."""
    opinions = SecondOpinion.objects.filter(prediction=row).select_related("version__model")
    known = {key: name for (_, key), name in names.items()} | _names(row.model_id, [one.answer for one in opinions])
    return [
        {"opinion": one, "answer": one.error or _said(one.answer, one.score, known), "address": page_of(one.version_id)}
        for one in opinions
    ]


def _done(request: StaffRequest, version: ModelVersion, *, shadow: ShadowForm, replay: ReplayForm) -> bool:
    """Do what a form asks. False: the page says what is wrong with it."""
    try:
        if shadow.is_bound and shadow.is_valid():
            trial = start_shadow(version, share=shadow.share, by=request.user)
            messages.success(request, f"{version} looks at {about(trial)} from now on, whenever a worker is idle.")
        elif replay.is_bound and replay.is_valid():
            trial = ask_for_replay(version, replay.selection, by=request.user)
            messages.success(request, f"{version} looks at {about(trial)} now, whenever a worker is idle.")
        elif request.POST.get("do") == "stop":
            _stop(request, version)
        else:
            return False
    except TrialRefused as refused:
        messages.error(request, str(refused))
        return False
    return True


def _stop(request: StaffRequest, version: ModelVersion) -> None:
    number = request.POST.get("trial", "")
    asked = [int(number)] if number.isdecimal() and len(number) < 19 else []
    trial = get_object_or_404(version.trials, pk__in=asked)
    if trial.end(by=request.user):
        messages.success(request, f"The {trial} has stopped. Its opinions stay.")


def _drawn(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    days = agreement.by_day(version)
    chosen = request.GET.get("label")
    if chosen is not None:
        chosen = chosen.replace("\0", "")  # no text of PostgreSQL holds it
    page = CappedPaginator(agreement.disagreements(version, live_answer=chosen), TILES).get_page(request.GET.get("p"))
    classes = agreement.by_class(version)
    names = _names(version.model_id, _keys(classes, page))
    return {
        "title": f"{version} beside live answers",
        "version": version,
        "serving": version.model.desired_version(),
        "trials": [_trial(trial) for trial in version.trials.select_related("created_by", "ended_by")[:10]],
        "is_waiting": version.trials.filter(ended_at=None).exists(),
        "total": agreement.total(days),
        "num_without_answer": agreement.num_without_answer(version),
        "verdicts": agreement.who_was_right(version),
        "days": _bars(agreement.calendar(days)),
        "classes": [(names.get(tally.of, tally.of) or NONE, tally) for tally in classes],
        "chosen": None if chosen is None else names.get(chosen, chosen) or NONE,
        "chosen_key": chosen,
        "page": page,
        "tiles": [_tile(opinion, names, version) for opinion in page],
        "none": NONE,
    }


def _trial(trial: Trial) -> dict[str, Any]:
    words = {"about": about(trial), "progress": progress(trial), "state": state_chip(trial)}
    return {"row": trial, "when": cells.moment(trial.created_at), **words}


def _bars(days: list[Tally]) -> list[DayBar]:
    width = 100 / len(days) if days else 0
    return [DayBar(day, f"{number * width:.3f}", f"{width * 0.85:.3f}") for number, day in enumerate(days)]


def _keys(classes: list[Tally], page: Page[SecondOpinion]) -> list[str]:
    return [tally.of for tally in classes] + [key for one in page for key in (one.answer, one.live_answer)]


def _names(model_id: int, keys: list[str]) -> Names:
    labels = Label.objects.filter(model=model_id, key__in=set(keys)).order_by()
    return {label.key: label.name for label in labels}


def _tile(opinion: SecondOpinion, names: Names, version: ModelVersion) -> Tile:
    row: Any = opinion.prediction
    review = row.newest_reviews[0] if row.newest_reviews else None
    return Tile(
        opinion=opinion,
        picture=cells.thumbnail(row),
        live=_said(opinion.live_answer, row.score, names),
        trial=_said(opinion.answer, opinion.score, names),
        verdict=cells.verdict_chip(review),
        right=_right(opinion, review, version),
    )


def _said(answer: str, score: float | None, names: Names) -> str:
    if not answer:
        return NONE
    return f"{names.get(answer, answer)} {score:.0%}" if score is not None else names.get(answer, answer)


def _right(opinion: SecondOpinion, review: Review | None, version: ModelVersion) -> str:
    """Who was right, in words; empty without a review."""
    if review is None:
        return ""
    right: dict[str | None, str] = {
        opinion.live_answer: "the live answer was right",
        opinion.answer: f"{version} was right",
    }
    truth = review.label.key if review.label else None
    return right.get("" if review.verdict == Review.Verdict.REJECTED else truth, "neither was right")
