"""Labels: display names may change, keys never."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from recognizer.registry.admin.history import LoggedAdmin
from recognizer.registry.models import Label


class LabelForm(forms.ModelForm[Label]):
    """The display names as one field a language. Names in further languages stay as they are."""

    english = forms.CharField(max_length=200, label="Name in English", widget=UnfoldAdminTextInputWidget)
    chinese = forms.CharField(
        max_length=200, required=False, label="Name in Chinese", widget=UnfoldAdminTextInputWidget
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
        given = {language: self.cleaned_data[field].strip() for field, language in LANGUAGES.items()}
        self.instance.names = {**self.instance.names, **given}
        return super().save(commit)


LANGUAGES = {"english": "en", "chinese": "zh"}


@admin.register(Label)
class LabelAdmin(LoggedAdmin):
    form = LabelForm
    list_display = ("english", "chinese", "key", "model", "retired_at")
    list_filter = (("model", RelatedDropdownFilter),)
    list_filter_submit = True
    list_select_related = ("model",)
    list_per_page = 50
    search_fields = ("key", "names__en", "names__zh")
    search_help_text = "Key or name"
    ordering = ("model", "key")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = ("key", "model", "merged_into", "retired_at")
    fields = ("key", "model", "english", "chinese", "merged_into", "retired_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # labels come with an artifact

    def has_delete_permission(self, request: HttpRequest, obj: Label | None = None) -> bool:
        return False  # old answers name them

    def get_fields(self, request: HttpRequest, obj: Label | None = None) -> tuple[str, ...]:
        if self.has_change_permission(request, obj):
            return self.fields
        return ("key", "model", "names", "merged_into", "retired_at")

    @admin.display(description="English")
    def english(self, label: Label) -> str:
        return str(label.names.get("en", label.key))

    @admin.display(description="Chinese")
    def chinese(self, label: Label) -> str:
        return str(label.names.get("zh", ""))
