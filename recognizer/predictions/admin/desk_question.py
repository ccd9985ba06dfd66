"""What the desk is asked for: which model's answers, in which order, with the filters of the list."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.functional import cached_property

from recognizer.predictions.admin.filters import midnight, midnight_after, search, share
from recognizer.predictions.agreement import disagreeing, tried_versions
from recognizer.predictions.desk import Order
from recognizer.predictions.models import Prediction, PredictionQuerySet, Review
from recognizer.registry.models import Label, RegisteredModel

KNOWN = {"yes": True, "no": False, "unsaid": None}
MAIN = ("queue", "model", "order")
# Filters with an index of their own.
KEYS = ("label", "score_from", "score_to", "known", "version", "q", "disagrees")
MAX_SORTED = 10_000
UNREVIEWED = ("", "Not reviewed")


class Question(forms.Form):
    """The filters have the names and the meaning that they have in the list of recognitions."""

    queue = forms.ChoiceField(choices=[("answers", "Answers"), ("claims", "Claims")], required=False)
    model = forms.ModelChoiceField(
        RegisteredModel.objects.all(), to_field_name="name", required=False, empty_label=None
    )
    order = forms.ChoiceField(choices=Order.choices, required=False)
    verdict = forms.ChoiceField(choices=[UNREVIEWED, *Review.Verdict.that_count()], required=False)
    label = forms.CharField(required=False, max_length=100, help_text="Key or name")
    score_from = forms.CharField(required=False, max_length=10, label="Score from")
    score_to = forms.CharField(required=False, max_length=10, label="to")
    known = forms.ChoiceField(
        choices=[("", "All"), ("yes", "One of my classes"), ("no", "None of my classes"), ("unsaid", "Not calibrated")],
        required=False,
    )
    version = forms.IntegerField(required=False, min_value=1, max_value=10**9, label="Version number")
    created_at_from = forms.DateField(required=False, label="Since", widget=forms.DateInput({"type": "date"}))
    created_at_to = forms.DateField(required=False, label="Until", widget=forms.DateInput({"type": "date"}))
    q = forms.CharField(required=False, max_length=200, label="Id, label or file name")
    disagrees = forms.ModelChoiceField(
        tried_versions(), required=False, empty_label="-", label="Second opinion differs"
    )

    def main_fields(self) -> list[forms.BoundField]:
        """What is chosen each time."""
        return [self[name] for name in MAIN]

    def filter_fields(self) -> list[forms.BoundField]:
        """What narrows the queue."""
        return [self[name] for name in self.fields if name not in MAIN]

    @property
    def is_about_claims(self) -> bool:
        return bool(self.cleaned_data.get("queue") == "claims")

    @property
    def in_order(self) -> Order:
        return Order(self.cleaned_data.get("order") or Order.USEFUL)

    @property
    def num_filters(self) -> int:
        """How many of the filters narrow the queue."""
        return sum(bool(self.cleaned_data.get(name)) for name in self.fields if name not in MAIN)

    @cached_property
    def model_asked(self) -> RegisteredModel | None:
        """The model named, else the one whose answer waits newest, else any."""
        if model := self.cleaned_data.get("model"):
            return model  # type: ignore[no-any-return]
        newest = Prediction.objects.unreviewed().values_list("model", flat=True).first()
        models = RegisteredModel.objects.all()
        return models.filter(pk__in=[newest]).first() or models.first()

    def answers(self, *, in_order: Order = Order.NEWEST) -> PredictionQuerySet:
        """All answers that fit the filters, reviewed or not; `in_order` says how they will be read."""
        is_keyed = any(self.cleaned_data.get(name) for name in KEYS)
        # The newest alone lie in the index of the model. The useful and the reported begin with rows named by key.
        return self._answers(is_keyed=is_keyed or (in_order != Order.NEWEST and self._has_many))

    def _answers(self, *, is_keyed: bool) -> PredictionQuerySet:
        if is_keyed not in self._narrowed:
            self._narrowed[is_keyed] = self._narrow(Prediction.objects.answers_of(self.model_asked, is_keyed=is_keyed))
        return self._narrowed[is_keyed]

    @cached_property
    def _has_many(self) -> bool:
        """Whether the model has more answers than are sorted for a page; fewer are found by the model's index."""
        return Prediction.objects.answers_of(self.model_asked)[MAX_SORTED : MAX_SORTED + 1].exists()

    @cached_property
    def _narrowed(self) -> dict[bool, PredictionQuerySet]:
        """Made once: a search asks the database for labels and files before it is part of a query."""
        return {}

    def _narrow(self, rows: PredictionQuerySet) -> PredictionQuerySet:
        for name, narrow in FILTERS.items():
            if self.cleaned_data.get(name) not in (None, ""):
                rows = narrow(rows, self.cleaned_data[name])
        return rows

    def rows(self, *, in_order: Order = Order.NEWEST) -> PredictionQuerySet:
        """The answers of the queue: those without a verdict, unless one is asked for."""
        if verdict := self.cleaned_data.get("verdict"):
            return self._answers(is_keyed=True).filter(verdict=verdict)
        is_order_of_index = in_order in (Order.LABEL, Order.NEWEST) and not self.num_filters
        if not is_order_of_index and self._has_many_to_review:
            return self.answers(in_order=in_order).unreviewed()
        if in_order != Order.SCORE:
            return self._to_review
        # By key, or SQLite would rather sort all answers of the model, reviewed or not.
        return Prediction.objects.filter(pk__in=self._to_review.values("pk")[:MAX_SORTED])

    @cached_property
    def _to_review(self) -> PredictionQuerySet:
        """In the words of the indexes of what nobody has judged: of them only, however many answers there are."""
        return self._narrow(Prediction.objects.unreviewed().filter(model=self.model_asked))

    @cached_property
    def _has_many_to_review(self) -> bool:
        """Whether more wait than are sorted for a page."""
        waiting = Prediction.objects.unreviewed().filter(model=self.model_asked)
        return waiting[MAX_SORTED : MAX_SORTED + 1].exists()


def _by_label(rows: PredictionQuerySet, words: str) -> PredictionQuerySet:
    keys = set(Label.objects.keys_named(words))
    return rows.filter(label__in={words} if words in keys else keys)


def _by_score(lookup: str) -> Callable[[PredictionQuerySet, str], PredictionQuerySet]:
    def narrow(rows: PredictionQuerySet, text: str) -> PredictionQuerySet:
        value = share(text)
        return rows if value is None else rows.filter(**{lookup: value})

    return narrow


FILTERS: dict[str, Callable[[PredictionQuerySet, Any], PredictionQuerySet]] = {
    "label": _by_label,
    "score_from": _by_score("score__gte"),
    "score_to": _by_score("score__lte"),
    "known": lambda rows, word: rows.with_known(KNOWN[word]),
    "version": lambda rows, number: rows.filter(version__number=number),
    "created_at_from": lambda rows, day: rows.filter(created_at__gte=midnight(day)),
    "created_at_to": lambda rows, day: rows.filter(created_at__lt=midnight_after(day)),
    "q": search,
    "disagrees": lambda rows, version: disagreeing(rows, version.pk),
}
