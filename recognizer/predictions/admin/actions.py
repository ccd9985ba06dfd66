"""What a reviewer does with the chosen recognitions. Each row is one call of a step; what was skipped is said."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminSelect2Widget

from recognizer.predictions.erasure import StillRunning
from recognizer.predictions.feedback import NotAnswered
from recognizer.predictions.review import Overtaken, WrongLabel
from recognizer.registry.models import Label
from recognizer.storage import StorageUnavailable

MAX_AT_ONCE = 500  # what one request can do in a second or two; also stops a slip of the mouse over all of history
Row = TypeVar("Row", bound=Model)
REFUSALS = (NotAnswered, WrongLabel, Overtaken, StillRunning, StorageUnavailable, Label.DoesNotExist)


@dataclass
class Outcome:
    """How many rows were done, and why others were not."""

    num_done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def tell(self, request: HttpRequest, done: str) -> None:
        """Say it on the next page; `done` is the participle, such as `confirmed`."""
        if self.num_done or not self.skipped:
            messages.success(request, f"{recognitions(self.num_done)} {done}.")
        for reason, number in self.skipped.items():
            messages.warning(request, f"{recognitions(number)} skipped: {reason}")


def recognitions(number: int) -> str:
    return f"{number} recognition{'' if number == 1 else 's'}"


def do_each(rows: Iterable[Any], step: Callable[[Any], object]) -> Outcome:
    """Run the step on each row, going on after a refusal."""
    outcome = Outcome()
    for row in rows:
        try:
            step(row)
            outcome.num_done += 1
        except REFUSALS as reason:
            outcome.skipped[str(reason)] += 1
    return outcome


def chosen(request: HttpRequest, queryset: QuerySet[Row]) -> list[Row]:
    """The chosen rows; none, and a message, when they are too many."""
    rows = list(queryset[: MAX_AT_ONCE + 1])
    if len(rows) > MAX_AT_ONCE:
        messages.error(request, f"Choose at most {MAX_AT_ONCE} recognitions at once. Nothing was changed.")
        return []
    return rows


class CorrectionForm(forms.Form):
    """The right label, found by typing its name in either language or its key."""

    label = forms.ModelChoiceField(Label.objects.none(), empty_label="Choose a label", widget=UnfoldAdminSelect2Widget)

    def __init__(self, data: Any, *, model_id: int) -> None:
        super().__init__(data)
        choice = self.fields["label"]
        assert isinstance(choice, forms.ModelChoiceField)  # noqa: S101  # for the type checker
        choice.queryset = Label.objects.in_use().filter(model=model_id)
        choice.label_from_instance = lambda label: label.in_both_languages  # type: ignore[method-assign,assignment]
