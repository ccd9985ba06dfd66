"""What a reviewer saw of a page's rows: the newest review of each, posted with the form that judges them.

Without it a page that was opened an hour ago would overwrite what another reviewer decided meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from django import forms
from django.db.models import Max
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.forms import ActionForm

from recognizer.predictions.admin.filters import row_number
from recognizer.predictions.models import Review
from recognizer.predictions.review import NONE_YET

SEEN = "seen"  # pairs such as `<prediction>:<number of its newest review>`, with spaces between
SEEN_BEYOND = "seen_beyond"  # the newest review of all: what counts for chosen rows that the page did not draw
HIDDEN = '<input type="hidden" name="{}" value="{}:{}">'


def newest_of_all() -> int:
    """The number of the newest review, NONE_YET where there is none."""
    return Review.objects.aggregate(newest=Max("pk"))["newest"] or NONE_YET


class SeenActionForm(ActionForm):
    """Unfold's choice of an action, with the newest review of all when the list was drawn."""

    seen_beyond = forms.IntegerField(label="", required=False, initial=newest_of_all, widget=forms.HiddenInput)


def seen_input(prediction: UUID, last: Sequence[Review]) -> SafeString:
    """The hidden field of one row. `last` is its newest review, or nothing."""
    return format_html(HIDDEN, SEEN, prediction, last[0].pk if last else NONE_YET)


def seen_by(request: HttpRequest, predictions: Iterable[UUID]) -> dict[UUID, int]:
    """For each of these the newest review that the reviewer knew of, NONE_YET where the form says nothing."""
    wanted = set(predictions)
    seen = {pk: number for pk, number in _posted(request) if pk in wanted}
    return dict.fromkeys(wanted, NONE_YET) | _before(request, wanted - seen.keys()) | seen


def in_one_field(seen: dict[UUID, int]) -> str:
    """All of it as one field's value: a field for each of 500 rows would be refused."""
    return " ".join(f"{pk}:{number}" for pk, number in seen.items())


def _posted(request: HttpRequest) -> Iterator[tuple[UUID, int]]:
    for pair in " ".join(request.POST.getlist(SEEN)).split():
        name, _, number = pair.partition(":")
        try:
            yield UUID(name), row_number(number) or NONE_YET
        except ValueError:  # a forged form has seen nothing
            continue


def _before(request: HttpRequest, beyond: set[UUID]) -> dict[UUID, int]:
    """The newest reviews of these rows when the list was drawn."""
    newest = row_number(request.POST.get(SEEN_BEYOND, "")) or NONE_YET
    known = Review.objects.filter(prediction__in=beyond, pk__lte=newest)
    return dict(known.order_by("pk").values_list("prediction_id", "pk"))
