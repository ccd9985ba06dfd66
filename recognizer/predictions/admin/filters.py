"""How a reviewer finds the recognitions of interest."""

import uuid
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.timezone import make_aware
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RangeDateFilter, RangeNumericFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm

from recognizer.predictions.models import Prediction, PredictionQuerySet, Review, UploadedImage
from recognizer.registry.models import Label, ModelVersion

MAX_COUNTED = 10_000
MAX_FILES_FOUND = 300  # newest first; who wants older ones adds letters or a date
MAX_FILES_SEARCHED = 50_000  # newest first: no index helps with a part of a name, and a million take two seconds
HEX_DIGITS = 32  # of a whole id
MAX_DIGITS = 18  # of a row's number: what fits 64 bits
KEY_PREFIX = "key:"  # no key has a colon


class CappedPaginator(Paginator[Any]):
    """Counts to MAX_COUNTED and no further: no page beyond is ever opened by number, and counting all costs seconds."""

    template_name = "admin/predictions/pagination.html"
    max_counted = MAX_COUNTED

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[: self.max_counted].count()


class LabelForm(forms.Form):
    """A select box that asks the server while one types: a model may have thousands of labels."""

    Media = AutocompleteDropdownForm.Media

    def __init__(self, *, name: str, value: str | None) -> None:
        super().__init__({name: value})
        widget = AutocompleteSelect(
            Review._meta.get_field("label"), admin.site, attrs={"class": "unfold-filter-autocomplete"}
        )
        self.fields[name] = forms.ModelChoiceField(Label.objects.all(), label="By label", required=False, widget=widget)


class LabelFilter(admin.SimpleListFilter):
    """One label key. Models share keys: `banana` finds the bananas of all of them."""

    title = "label"
    parameter_name = "label"
    template = "unfold/filters/filters_field.html"
    form_class = LabelForm

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return []

    def has_output(self) -> bool:
        return True

    @cached_property
    def label(self) -> Label | None:
        """The label of the address: by its row's number, as the select box names it, or by its key; `key:7` is one."""
        chosen = self.value() or ""
        row = row_number(chosen)
        named = Q(key=chosen.removeprefix(KEY_PREFIX)) if row is None else Q(pk=row)
        return Label.objects.filter(named).first()

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield {"form": LabelForm(name=self.parameter_name, value=str(self.label.pk) if self.label else None)}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Prediction]) -> QuerySet[Prediction]:
        if not self.value():
            return queryset
        return queryset.filter(label=self.label.key) if self.label else queryset.none()


def row_number(text: str) -> int | None:
    """The number of a row; None for what no row can have."""
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else None


class VersionFilter(DropdownFilter):
    title = "model version"
    parameter_name = "version"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        versions = ModelVersion.objects.select_related("model").only("number", "model__name")
        return [(str(version.pk), str(version)) for version in versions]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Prediction]) -> QuerySet[Prediction]:
        row = row_number(self.value() or "")
        return queryset if row is None else queryset.filter(version=row)


class KnownFilter(DropdownFilter):
    title = "known"
    parameter_name = "known"
    values = {"yes": True, "no": False, "unsaid": None}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "One of my classes"), ("no", "None of my classes"), ("unsaid", "Not calibrated")]

    def queryset(self, request: HttpRequest, queryset: PredictionQuerySet) -> QuerySet[Prediction]:
        return queryset.with_known(self.values[self.value()]) if self.value() in self.values else queryset


class StatusFilter(ChoicesDropdownFilter):
    def queryset(self, request: HttpRequest, queryset: PredictionQuerySet) -> QuerySet[Prediction]:
        status = self.value()
        return queryset.in_status(status, is_keyed=_is_keyed(request)) if status else queryset


def _is_keyed(request: HttpRequest) -> bool:
    """Whether a label narrows the list, which says more than a status: most recognitions succeeded."""
    return bool(request.GET.get(LabelFilter.parameter_name))


class VerdictFilter(DropdownFilter):
    """By the newest review, the one that counts."""

    title = "verdict"
    parameter_name = "verdict"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("none", "Not reviewed"),
            *((str(value), str(name).capitalize()) for value, name in Review.Verdict.that_count()),
        ]

    def queryset(self, request: HttpRequest, queryset: PredictionQuerySet) -> QuerySet[Prediction]:
        if self.value() == "none":
            return queryset.unreviewed()
        if self.value() in dict(Review.Verdict.that_count()):
            return queryset.filter(verdict=self.value())
        return queryset


class ScoreFilter(RangeNumericFilter):
    """From and to, as a share (0.85) or in percent (85)."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Prediction]) -> QuerySet[Prediction]:
        bounds = {"score_from": "score__gte", "score_to": "score__lte"}
        for given, lookup in bounds.items():
            value = share(self.used_parameters.get(given))
            if value is not None:
                queryset = queryset.filter(**{lookup: value})
        return queryset


def share(text: str | None) -> float | None:
    """A score as people write it: 0.85 or 85, which is percent."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value / 100 if value > 1 else value


class DateFilter(RangeDateFilter):
    """From and to, both days included."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Prediction]) -> QuerySet[Prediction]:
        first, last = (_day(self.used_parameters.get(f"created_at_{end}")) for end in ("from", "to"))
        if first:
            queryset = queryset.filter(created_at__gte=midnight(first))
        if last and last < date.max:
            queryset = queryset.filter(created_at__lt=midnight_after(last))
        return queryset


def _day(text: str | None) -> date | None:
    try:
        return forms.DateField(required=False).clean(text)  # type: ignore[no-any-return]
    except forms.ValidationError:
        return None


def midnight(day: date) -> datetime:
    """Its start, where the server is."""
    return make_aware(datetime.combine(day, time.min))


def midnight_after(day: date) -> datetime:
    """Its end, where the server is."""
    return midnight(day + timedelta(days=1))


def search(queryset: PredictionQuerySet, term: str) -> PredictionQuerySet:
    """Recognitions by id or its beginning, by label key or name, or by a part of the file name."""
    found = _by_id(term) | Q(label__in=list(Label.objects.keys_named(term).distinct())) | Q(image__in=_images(term))
    return queryset.filter(found)


def _by_id(term: str) -> Q:
    # A range of the primary key: a text search over ids would read them all.
    digits = term.replace("-", "").lower()
    if not 4 <= len(digits) <= HEX_DIGITS or not set(digits) <= set("0123456789abcdef"):
        return Q()
    first, last = (uuid.UUID(digits.ljust(HEX_DIGITS, filler)) for filler in "0f")
    return Q(pk=first) if first == last else Q(pk__gte=first, pk__lte=last)


def _images(term: str) -> list[uuid.UUID]:
    newest = UploadedImage.objects.order_by("-created_at")
    first = newest.values_list("created_at", flat=True)[MAX_FILES_SEARCHED:][:1]
    named = newest.filter(file_name__icontains=term)
    for oldest in first:
        named = named.filter(created_at__gt=oldest)
    return list(named.values_list("pk", flat=True)[:MAX_FILES_FOUND])
