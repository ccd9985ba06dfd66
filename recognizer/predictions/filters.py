"""Filters of the prediction list."""

from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters

from recognizer.predictions.models import Prediction, PredictionQuerySet, Review


def _check_fits(moment: datetime) -> None:
    try:
        moment.astimezone(UTC)
    except OverflowError as error:
        raise ValidationError("This date is out of range.") from error


class PredictionFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=Prediction.Status.choices)
    label = filters.CharFilter(help_text="Key of the best label.")
    model = filters.CharFilter(field_name="model__name")
    version = filters.NumberFilter(field_name="version__number")
    # Not a BooleanFilter: that takes what is neither for "all".
    reviewed = filters.TypedChoiceFilter(
        choices=[("true", "true"), ("false", "false")], coerce=lambda word: word == "true", method="filter_reviewed"
    )
    verdict = filters.ChoiceFilter(choices=Review.Verdict.that_count())
    score_min = filters.NumberFilter(field_name="score", lookup_expr="gte")
    score_max = filters.NumberFilter(field_name="score", lookup_expr="lte")
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte", validators=[_check_fits])
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt", validators=[_check_fits])

    class Meta:
        model = Prediction
        fields: list[str] = []

    def filter_reviewed(self, rows: PredictionQuerySet, name: str, value: bool) -> QuerySet[Prediction]:
        return rows.reviewed() if value else rows.without_verdict()
