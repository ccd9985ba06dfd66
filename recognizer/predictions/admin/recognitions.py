"""The list and the page of recognitions. Answers are looked at, judged and erased here, never edited."""

from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localdate
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.views import ChangeList

from recognizer.predictions import doorbell
from recognizer.predictions.admin import cells
from recognizer.predictions.admin.actions import CorrectionForm, Outcome, chosen, do_each
from recognizer.predictions.admin.cells import ClaimCells, MomentCell
from recognizer.predictions.admin.desk import desk_urls
from recognizer.predictions.admin.filters import (
    MAX_FILES_SEARCHED,
    CappedPaginator,
    DateFilter,
    KnownFilter,
    LabelFilter,
    ScoreFilter,
    StatusFilter,
    VerdictFilter,
    VersionFilter,
    search,
)
from recognizer.predictions.admin.seen import SeenActionForm, in_one_field, seen_by, seen_input
from recognizer.predictions.admin.trials import DisagreesFilter, second_opinions_of
from recognizer.predictions.describe import label_names
from recognizer.predictions.erasure import erase
from recognizer.predictions.exports import csv_lines
from recognizer.predictions.feedback import NotAnswered
from recognizer.predictions.models import Feedback, Prediction, PredictionQuerySet, Review
from recognizer.predictions.ownership import erased_by
from recognizer.predictions.presentation import Bar, has_picture, spans_of
from recognizer.predictions.review import record
from recognizer.registry.admin.asking import OPENED, Question, ask, is_answered, own_page
from recognizer.registry.admin.history import HistoryAdmin, HistoryInline, StaffRequest

ANSWER = (
    '<span class="rz-answer">{}'
    '<span class="rz-words"><strong>{}</strong> {}<span class="rz-quiet rz-file">{}</span></span></span>'
)


class RecognitionList(ChangeList):
    """One page of recognitions, with the display names of their labels."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)  # type: ignore[has-type]
        names = label_names(rows)
        for row in rows:
            row.label_name = names.get((row.model_id, row.label), row.label)
        self.result_list = rows


class FeedbackInline(ClaimCells, HistoryInline):
    model = Feedback
    fields = ("says", "who", "when")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        return super().get_queryset(request).select_related("user")  # type: ignore[no-any-return]


class ReviewInline(MomentCell, HistoryInline):
    model = Review
    fields = ("verdict", "label", "previous_label", "reviewer", "via", "when")
    readonly_fields = fields
    verbose_name_plural = "reviews, the newest counts"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Review]:
        return super().get_queryset(request).select_related("label", "reviewer")  # type: ignore[no-any-return]


@admin.register(Prediction)
class RecognitionAdmin(MomentCell, HistoryAdmin):
    list_display = ("answer", "score_shown", "version_shown", "status_shown", "verdict_shown", "who", "when")
    list_display_links = ("answer",)
    list_filter = (
        LabelFilter,
        ("score", ScoreFilter),
        VerdictFilter,
        ("status", StatusFilter),
        KnownFilter,
        ("model", RelatedDropdownFilter),
        VersionFilter,
        DisagreesFilter,
        ("created_at", DateFilter),
    )
    search_fields = ("id", "label", "image__file_name")
    search_help_text = f"Id, label or file name (of the newest {MAX_FILES_SEARCHED:,} uploads)"
    paginator = CappedPaginator
    inlines = (FeedbackInline, ReviewInline)
    actions = ("confirm", "correct", "reject", "retry", "export", "erase")
    action_form = SeenActionForm
    change_form_outer_before_template = "admin/predictions/recognition.html"

    # Who may do what. History is read-only, so the actions ask for permissions of their own.

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("predictions.add_review")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("predictions.change_prediction")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("predictions.delete_prediction")

    # The list, and the desk beside it

    def get_urls(self) -> list[URLPattern]:
        return [*desk_urls(), *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecognitionList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        newest = Review.objects.last_of_each().select_related("label")
        rows: QuerySet[Prediction] = super().get_queryset(request)
        # Models and versions are few: fetched by themselves they cannot tempt the planner from the newest-first index.
        return rows.select_related("image", "user").prefetch_related(
            "model", "version__model", Prefetch("reviews", newest, to_attr="last_reviews")
        )

    @admin.display(description=HistoryAdmin.action_checkbox.short_description)  # type: ignore[attr-defined]
    def action_checkbox(self, row: Any) -> SafeString:
        return super().action_checkbox(row) + seen_input(row.pk, row.last_reviews)

    def get_search_results(
        self, request: HttpRequest, queryset: PredictionQuerySet, search_term: str
    ) -> tuple[QuerySet[Prediction], bool]:
        term = search_term.strip()
        return (search(queryset, term) if term else queryset), False

    @admin.display(description="Answer")
    def answer(self, row: Any) -> SafeString:
        named = row.label_name or {"failed": "No answer", "erased": "Erased"}.get(row.status, "Waiting")
        unknown = cells.chip("none of my classes", "wait") if row.known is False else ""
        file_name = row.image.file_name if row.image else ""
        return format_html(ANSWER, cells.thumbnail(row), named, unknown, file_name)

    @admin.display(description="Score", ordering="score")
    def score_shown(self, row: Prediction) -> SafeString | str:
        return cells.score_bar(row.score)

    @admin.display(description="Version")
    def version_shown(self, row: Prediction) -> str:
        return str(row.version or row.model)

    @admin.display(description="Status")
    def status_shown(self, row: Prediction) -> SafeString:
        return cells.status_chip(row)

    @admin.display(description="Verdict")
    def verdict_shown(self, row: Any) -> SafeString | str:
        return cells.verdict_chip(cells.counting(row.last_reviews))

    @admin.display(description="Who")
    def who(self, row: Prediction) -> SafeString | str:
        return cells.owner(row)

    # The page of one

    def get_inlines(self, request: HttpRequest, obj: Prediction | None) -> list[Any]:
        return [inline for inline in self.inlines if obj and inline.model.objects.filter(prediction=obj).exists()]

    def get_fieldsets(self, request: HttpRequest, obj: Prediction | None = None) -> list[Any]:
        return []  # the template draws the answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        drawn = self._drawn(request, row) if row else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **drawn})

    def _drawn(self, request: HttpRequest, row: Prediction) -> dict[str, Any]:
        names = label_names([row])
        return {
            "title": names.get((row.model_id, row.label), row.status.capitalize()),
            "bars": [Bar(names.get((row.model_id, key), key), score) for key, score in row.scores],
            "spans": spans_of(row),
            "has_picture": has_picture(row),
            "status_chip": cells.status_chip(row),
            "verdict_chip": cells.verdict_chip(cells.counting(row.last_reviews)),  # type: ignore[attr-defined]
            "seen": seen_input(row.pk, row.last_reviews),  # type: ignore[attr-defined]
            "owner": cells.owner(row),
            "when": cells.moment(row.created_at),
            "second_opinions": second_opinions_of(row, names),
            "checkbox": ACTION_CHECKBOX_NAME,
            "opened": OPENED,
            "buttons": self._buttons(request, row),
        }

    def _buttons(self, request: HttpRequest, row: Prediction) -> list[tuple[str, str]]:
        """Name and words of the actions that make sense for this row."""
        fitting = {"succeeded": ("confirm", "correct", "reject", "erase"), "failed": ("retry", "erase")}
        allowed = self.get_actions(request)
        return [(name, str(allowed[name][2])) for name in fitting.get(row.status, ()) if name in allowed]

    # Actions

    def response_action(self, request: HttpRequest, queryset: QuerySet[Prediction]) -> HttpResponse | None:
        response = super().response_action(request, queryset)
        page = own_page(self, request)
        is_done = isinstance(response, HttpResponseRedirect)
        return redirect(page) if page and is_done else response

    @admin.action(description="Confirm the answer", permissions=["review"])
    def confirm(self, request: StaffRequest, queryset: QuerySet[Prediction]) -> None:
        rows = chosen(request, queryset)
        _judge(request, rows, verdict=Review.Verdict.CONFIRMED).tell(request, "confirmed")

    @admin.action(description="Correct to a label…", permissions=["review"])
    def correct(self, request: StaffRequest, queryset: QuerySet[Prediction]) -> HttpResponse | None:
        rows = chosen(request, queryset)
        models = {row.model for row in rows}
        if len(models) > 1:
            names = " and ".join(sorted(model.name for model in models))
            messages.error(
                request, f"These are answers of {names}. Choose those of one model: each has its own labels."
            )
        if len(models) != 1:
            return None
        form = CorrectionForm(request.POST if is_answered(request) else None, model_id=rows[0].model_id)
        if not form.is_valid():
            question = Question(
                title="Correct to a label", text="What do these pictures show?", button="Save the correction"
            )
            return self._ask(request, rows, question, form=form)
        label = form.cleaned_data["label"]
        _judge(request, rows, verdict=Review.Verdict.CORRECTED, label=label).tell(request, f"corrected to {label}")
        return None

    @admin.action(description="Reject: none of my classes", permissions=["review"])
    def reject(self, request: StaffRequest, queryset: QuerySet[Prediction]) -> None:
        rows = chosen(request, queryset)
        _judge(request, rows, verdict=Review.Verdict.REJECTED).tell(request, "rejected")

    @admin.action(description="Retry what failed", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Prediction]) -> None:
        outcome = do_each(chosen(request, queryset), _retry)
        if outcome.num_done:
            doorbell.ring()
        outcome.tell(request, "queued once more")

    @admin.action(description="Export as CSV", permissions=["view"])
    def export(self, request: HttpRequest, queryset: QuerySet[Prediction]) -> StreamingHttpResponse:
        name = f"recognitions-{localdate().isoformat()}.csv"
        disposition = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
        return StreamingHttpResponse(csv_lines(queryset), content_type="text/csv; charset=utf-8", headers=disposition)

    @admin.action(description="Erase…", permissions=["erase"])
    def erase(self, request: StaffRequest, queryset: QuerySet[Prediction]) -> HttpResponse | None:
        rows = chosen(request, queryset)
        if rows and not is_answered(request):
            question = Question(
                title="Erase recognitions",
                text="Picture, answer, owner and feedback are removed; only that they existed is kept.",
                warning="This cannot be undone.",
                button=f"Erase {len(rows)}",
                is_final=True,
            )
            return self._ask(request, rows, question)
        do_each(rows, partial(erase, erased_by=erased_by(request))).tell(request, "erased")
        return None

    def _ask(
        self, request: HttpRequest, rows: list[Prediction], question: Question, form: CorrectionForm | None = None
    ) -> HttpResponse:
        for row in rows:
            row.thumbnail = cells.thumbnail(row)  # type: ignore[attr-defined]
        page = ask(self, request, rows=rows, question=question, form=form, template="admin/predictions/ask.html")
        page.context_data = {**(page.context_data or {}), "seen": in_one_field(seen_by(request, _keys(rows)))}
        return page


def _judge(request: StaffRequest, rows: list[Prediction], **verdict: Any) -> Outcome:
    """Record the verdict on each row that nobody judged since the page was drawn."""
    seen = seen_by(request, _keys(rows))
    return do_each(rows, lambda row: record(row, reviewer=request.user, seen=seen[row.pk], **verdict))


def _keys(rows: Iterable[Prediction]) -> list[UUID]:
    return [row.pk for row in rows]


def _retry(row: Prediction) -> UUID:
    if not row.retry():
        raise NotAnswered("Only a failed recognition can be retried.")
    return row.pk
