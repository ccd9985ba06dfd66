"""Labels: display names may change, keys never. Classes are added, merged and retired here, none is deleted."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.widgets import UnfoldAdminSelect2Widget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from recognizer.registry.admin.asking import Question, ask, is_answered
from recognizer.registry.admin.history import LoggedAdmin
from recognizer.registry.models import Label, RegisteredModel
from recognizer.registry.taxonomy import MAX_NAME, TaxonomyRefused, bring_back, merge, new_label, retire, without_empty

LANGUAGES = {"english": "en", "chinese": "zh"}


class LabelForm(forms.ModelForm[Label]):
    """The display names as one field a language. Names in further languages stay as they are."""

    english = forms.CharField(max_length=MAX_NAME, label="Name in English", widget=UnfoldAdminTextInputWidget)
    chinese = forms.CharField(
        max_length=MAX_NAME, required=False, label="Name in Chinese", widget=UnfoldAdminTextInputWidget
    )

    class Meta:
        model = Label
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field, language in LANGUAGES.items():
            if field in self.fields:  # who may only view gets the form without fields
                self.fields[field].initial = self.instance.names.get(language, "")

    def save(self, commit: bool = True) -> Label:
        given = {language: self.cleaned_data[field] for field, language in LANGUAGES.items()}
        self.instance.names = without_empty({**self.instance.names, **given})
        return super().save(commit)


class NewLabelForm(LabelForm):
    """A class that a model shall learn."""

    model = forms.ModelChoiceField(RegisteredModel.objects.all(), widget=UnfoldAdminSelectWidget)
    key = forms.CharField(
        max_length=100,
        required=False,
        help_text="It never changes. Empty: made from the English name.",
        widget=UnfoldAdminTextInputWidget,
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self.instance = new_label(**given)
            except TaxonomyRefused as refused:
                raise forms.ValidationError(str(refused)) from refused
        return given

    def _post_clean(self) -> None:
        """The step has checked the row: a second look would only add that a refused one is empty."""


class MergeForm(forms.Form):
    """Which label the chosen ones shall count as."""

    into = forms.ModelChoiceField(
        Label.objects.none(), label="Merge into", empty_label="Choose a label", widget=UnfoldAdminSelect2Widget
    )

    def __init__(self, data: Any, *, labels: QuerySet[Label]) -> None:
        super().__init__(data)
        choice = self.fields["into"]
        assert isinstance(choice, forms.ModelChoiceField)  # noqa: S101  # for the type checker
        models = labels.order_by().values("model")
        choice.queryset = Label.objects.in_use().filter(model__in=models).exclude(pk__in=labels.order_by().values("pk"))
        choice.label_from_instance = lambda label: label.in_both_languages  # type: ignore[method-assign,assignment]


@admin.register(Label)
class LabelAdmin(LoggedAdmin):
    form = LabelForm
    list_display = ("english", "chinese", "key", "model", "merged_into", "retired_at")
    list_filter = (("model", RelatedDropdownFilter),)
    list_filter_submit = True
    list_select_related = ("model", "merged_into")
    list_per_page = 50
    search_fields = ("key", "names__en", "names__zh")
    search_help_text = "Key or name"
    ordering = ("model", "key")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = ("key", "model", "merged_into", "retired_at")
    fields = ("key", "model", "english", "chinese", "merged_into", "retired_at")
    actions = ("merge", "retire", "bring_back")

    def has_delete_permission(self, request: HttpRequest, obj: Label | None = None) -> bool:
        return False  # old answers name them

    def get_form(self, request: HttpRequest, obj: Label | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if change else NewLabelForm

    def get_readonly_fields(self, request: HttpRequest, obj: Label | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj else ()

    def get_fields(self, request: HttpRequest, obj: Label | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("model", "english", "chinese", "key")
        if self.has_change_permission(request, obj):
            return self.fields
        return ("key", "model", "names", "merged_into", "retired_at")

    @admin.display(description="English")
    def english(self, label: Label) -> str:
        return str(label.names.get("en", label.key))

    @admin.display(description="Chinese")
    def chinese(self, label: Label) -> str:
        return str(label.names.get("zh", ""))

    # Actions

    @admin.action(description="Merge into another label…", permissions=["change"])
    def merge(self, request: HttpRequest, queryset: QuerySet[Label]) -> HttpResponse | None:
        form = MergeForm(request.POST if is_answered(request) else None, labels=queryset)
        if not form.is_valid():
            question = Question(
                title="Merge labels",
                text="These labels count as the one you choose from now on, in old reviews too. Old answers keep them.",
                button="Merge",
                warning="This cannot be undone.",
                is_final=True,
            )
            return ask(self, request, rows=queryset, question=question, form=form)
        self._merge_all(request, list(queryset), form.cleaned_data["into"])
        return None

    def _merge_all(self, request: HttpRequest, labels: list[Label], into: Label) -> None:
        for label in labels:
            try:
                target = merge(label, into)
            except TaxonomyRefused as refused:
                messages.error(request, str(refused))
            else:
                self.log_change(request, label, f"Merged into {target.key}.")
                messages.success(request, f"{label} counts as {target} now.")

    @admin.action(description="Retire: review nothing into it any more", permissions=["change"])
    def retire(self, request: HttpRequest, queryset: QuerySet[Label]) -> None:
        self._do(request, queryset, retire, "retired")

    @admin.action(description="Bring back from retirement", permissions=["change"])
    def bring_back(self, request: HttpRequest, queryset: QuerySet[Label]) -> None:
        self._do(request, queryset, bring_back, "brought back")

    def _do(self, request: HttpRequest, labels: QuerySet[Label], step: Callable[[Label], bool], done: str) -> None:
        changed = [label for label in labels if step(label)]
        for label in changed:
            self.log_change(request, label, f"{done.capitalize()}.")
        messages.success(request, f"{len(changed)} label{'' if len(changed) == 1 else 's'} {done}.")
