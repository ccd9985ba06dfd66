"""What people say about answers: claims of users, verdicts of reviewers, and what was erased."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter

from recognizer.predictions.admin import cells
from recognizer.predictions.admin.actions import chosen, do_each
from recognizer.predictions.admin.cells import ClaimCells, MomentCell
from recognizer.predictions.admin.filters import CappedPaginator, DateFilter
from recognizer.predictions.admin.seen import SeenActionForm, seen_by, seen_input
from recognizer.predictions.models import Erasure, Feedback, Review
from recognizer.predictions.review import Overtaken, approve
from recognizer.registry.admin.history import HistoryAdmin, StaffRequest


class OpinionAdmin(MomentCell, HistoryAdmin):
    """Rows about one recognition: its picture, and a way to it."""

    paginator = CappedPaginator

    @admin.display(description="Picture")
    def picture(self, row: Any) -> SafeString:
        return cells.thumbnail(row.prediction)

    @admin.display(description="Answer")
    def recognition(self, row: Any) -> SafeString:
        address = reverse("admin:predictions_prediction_change", args=[row.prediction_id])
        return format_html(
            '<a class="rz-link" href="{}">{}</a>', address, row.prediction.label or row.prediction.status
        )


@admin.register(Feedback)
class FeedbackAdmin(ClaimCells, OpinionAdmin):
    list_display = ("picture", "says", "recognition", "label", "approved", "who", "when")
    list_display_links = ("says",)
    list_filter = (("is_correct", BooleanRadioFilter), ("created_at", DateFilter))
    list_select_related = ("prediction", "user", "label")
    fields = ("picture", "recognition", "says", "label", "approved", "who", "when")
    actions = ("approve",)
    action_form = SeenActionForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        last = Review.objects.last_of_each().select_related("label")
        newest = Prefetch("prediction__reviews", last, to_attr="last_reviews")
        return super().get_queryset(request).with_approval().prefetch_related(newest)  # type: ignore[no-any-return]

    @admin.display(description=HistoryAdmin.action_checkbox.short_description)  # type: ignore[attr-defined]
    def action_checkbox(self, claim: Any) -> SafeString:
        return super().action_checkbox(claim) + seen_input(claim.prediction_id, claim.prediction.last_reviews)

    @admin.display(description="Review")
    def approved(self, claim: Any) -> SafeString | str:
        """That the claim counts, or else what was decided about the answer."""
        if claim.is_approved:
            return cells.chip("approved", "good")
        return cells.verdict_chip(cells.counting(claim.prediction.last_reviews))

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("predictions.add_review")

    @admin.action(description="Approve: make the claim count", permissions=["review"])
    def approve(self, request: StaffRequest, queryset: QuerySet[Feedback]) -> None:
        claims = chosen(request, queryset.select_related("prediction__model", "label__model").order_by("-pk"))
        seen = seen_by(request, [claim.prediction_id for claim in claims])
        counting: set[UUID] = set()

        def make_count(claim: Feedback) -> None:
            if claim.prediction_id in counting:
                raise Overtaken("A newer claim about the same picture was approved with it, and that one counts.")
            approve(claim, reviewer=request.user, seen=seen[claim.prediction_id])
            counting.add(claim.prediction_id)

        do_each(claims, make_count).tell(request, "reviewed as claimed")


@admin.register(Review)
class ReviewAdmin(OpinionAdmin):
    list_display = ("picture", "verdict_shown", "recognition", "previous_label", "reviewer", "via", "when")
    list_display_links = ("verdict_shown",)
    list_filter = (("verdict", ChoicesDropdownFilter), ("via", ChoicesDropdownFilter), ("created_at", DateFilter))
    list_select_related = ("prediction", "label", "reviewer")
    fields = ("picture", "recognition", "verdict_shown", "label", "previous_label", "reviewer", "via", "when")

    @admin.display(description="Verdict", ordering="verdict")
    def verdict_shown(self, review: Review) -> SafeString | str:
        return cells.verdict_chip(review)


@admin.register(Erasure)
class ErasureAdmin(MomentCell, HistoryAdmin):
    list_display = ("prediction_id", "erased_by", "when")
    paginator = CappedPaginator
