"""What a person may ask of a version on trial."""

from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from recognizer.predictions.trials import MAX_REPLAYED, Selection
from recognizer.registry.models import ModelVersion

SELECTED = mark_safe(" selected")


class PlainSelect(UnfoldAdminSelectWidget):
    """Drawn in one go: Django renders a template for each option, of a thousand labels a third of a second."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = self.format_value(value)
        rows = ((key, SELECTED if str(key) in chosen else "", words) for key, words in self.choices)
        options = format_html_join("", '<option value="{}"{}>{}</option>', rows)
        return format_html(
            "<select{}>{}</select>", flatatt(self.build_attrs(self.attrs, {**attrs, "name": name})), options
        )


class ShadowForm(forms.Form):
    percent = forms.FloatField(
        min_value=0.01,
        max_value=100,
        initial=10,
        label="Percent of recognitions",
        widget=UnfoldAdminDecimalFieldWidget({"step": "any"}),
        help_text="Always the same ones; whoever uploads notices nothing.",
    )

    @property
    def share(self) -> float:
        return float(self.cleaned_data["percent"]) / 100


class ReplayForm(forms.Form):
    number = forms.IntegerField(
        min_value=1,
        max_value=MAX_REPLAYED,
        initial=1000,
        label="Newest recognitions",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    label = forms.ChoiceField(required=False, label="Answered with", widget=PlainSelect)
    only_reviewed = forms.BooleanField(required=False, label="Only reviewed ones", widget=UnfoldBooleanSwitchWidget)

    def __init__(self, data: Any, *, version: ModelVersion) -> None:
        super().__init__(data)
        labels = sorted((label.name, label.key) for label in version.model.labels.all())
        choice = self.fields["label"]
        assert isinstance(choice, forms.ChoiceField)  # noqa: S101  # for the type checker
        choice.choices = [("", "any label"), *((key, name) for name, key in labels)]

    @property
    def selection(self) -> Selection:
        return Selection(**self.cleaned_data)
