"""Dataset snapshots: frozen by a form, looked at on a page, never edited."""

from dataclasses import dataclass, fields
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldBooleanSwitchWidget,
)

from classifier_core.errors import DatasetInvalid
from recognizer.admin_site import may_view
from recognizer.predictions.admin.cells import MomentCell
from recognizer.registry.admin.history import HistoryAdmin, StaffRequest
from recognizer.registry.models import RegisteredModel, TestState
from recognizer.registry.sentences import with_names
from recognizer.registry.taxonomy import display_names
from recognizer.training.admin.base_photos import status_chip
from recognizer.training.admin.origins import origin_urls
from recognizer.training.admin.pictures import thumbnail, thumbnail_response
from recognizer.training.asking import ask_for_snapshot
from recognizer.training.candidates import REASONS
from recognizer.training.figures import ARROW
from recognizer.training.models import DatasetSnapshot, Part, SnapshotItem
from recognizer.training.options import SnapshotOptions


def _switch(**options: Any) -> forms.BooleanField:
    return forms.BooleanField(required=False, initial=True, widget=UnfoldBooleanSwitchWidget, **options)


def _day(**options: Any) -> forms.DateField:
    return forms.DateField(required=False, widget=UnfoldAdminSingleDateWidget, **options)


def _cap(**options: Any) -> forms.IntegerField:
    return forms.IntegerField(required=False, min_value=1, widget=UnfoldAdminIntegerFieldWidget, **options)


class FreezeForm(forms.ModelForm[DatasetSnapshot]):
    """Which photos are asked for. The rest of SnapshotOptions is for the command."""

    model = forms.ModelChoiceField(
        RegisteredModel.objects.all(), empty_label="Choose a model", widget=UnfoldAdminSelectWidget
    )
    base_photos = _switch(label="Base photos")
    reviews = _switch(label="Reviewed recognitions", help_text="Only those whose owner allowed training.")
    since = _day(label="Uploaded from")
    until = _day(label="Uploaded until")
    max_per_class = _cap(label="Photos a class, at most")
    max_per_uploader = _cap(label="Photos a class from one uploader, at most")

    class Meta:
        model = DatasetSnapshot
        fields = ("model",)

    def clean(self) -> dict[str, Any]:
        super().clean()
        try:
            self.chosen().check()
        except DatasetInvalid as error:
            self.add_error(None, str(error))
        return self.cleaned_data

    def chosen(self) -> SnapshotOptions:
        """What was filled in."""
        names = {field.name for field in fields(SnapshotOptions)} & self.cleaned_data.keys()
        return SnapshotOptions(**{name: self.cleaned_data[name] for name in names})


# Drawn here: a model may have a thousand classes, and what a template does for each number takes longer than the rest.
BAR = (
    '<svg class="rz-bar" viewBox="0 0 {} 8" preserveAspectRatio="none">'
    '<rect class="rz-part-train" width="{}" height="8"></rect>'
    '<rect class="rz-part-val" x="{}" width="{}" height="8"></rect>'
    '<rect class="rz-part-test" x="{}" width="{}" height="8"></rect></svg>'
)


@dataclass(frozen=True)
class ClassRow:
    """A class on the page: its bar, and photos of each part and of all."""

    name: str
    bar: SafeString
    numbers: tuple[str, ...]


@admin.register(DatasetSnapshot)
class SnapshotAdmin(MomentCell, HistoryAdmin):
    list_display = ("title", "status_shown", "num_photos", "classes", "test_state", "warned", "created_by", "when")
    list_display_links = ("title",)
    list_filter = (("model", RelatedDropdownFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("model", "test_state__model", "created_by")
    search_fields = ("content_sha256",)
    search_help_text = "Start of the content's SHA-256"
    change_form_outer_before_template = "admin/training/snapshot.html"

    class Media:
        js = ("recognizer/waiting.js",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("training.add_datasetsnapshot")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        return super().get_form(request, obj, change, **kwargs) if obj else FreezeForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [] if obj else [(None, {"fields": list(FreezeForm.base_fields)})]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.thumbnail_view)
        own = path("items/<int:pk>/thumbnail/", view, name="training_snapshotitem_thumbnail")
        return [own, *origin_urls(), *super().get_urls()]

    def save_model(self, request: StaffRequest, obj: DatasetSnapshot, form: FreezeForm, change: bool) -> None:
        asked = ask_for_snapshot(form.cleaned_data["model"], form.chosen(), by=request.user)
        vars(obj).update(vars(asked))
        messages.info(request, "A worker freezes it now.")

    def response_add(self, request: HttpRequest, obj: DatasetSnapshot, post_url_continue: str | None = None) -> Any:
        return redirect("admin:training_datasetsnapshot_change", obj.pk)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "submit_word": "Freeze"}
        return super().add_view(request, form_url, context)  # type: ignore[no-any-return]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        drawn = _drawn(request, row) if row else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **drawn})

    def thumbnail_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        item = get_object_or_404(SnapshotItem, pk=pk)
        if not (self.has_view_permission(request) and may_see(request, item)):
            raise PermissionDenied
        return thumbnail_response(item.blob_id)

    @admin.display(description="Snapshot", ordering="number")
    def title(self, row: DatasetSnapshot) -> str:
        return str(row)

    @admin.display(description="Status")
    def status_shown(self, row: DatasetSnapshot) -> SafeString:
        return status_chip(row)

    @admin.display(description="Classes")
    def classes(self, row: DatasetSnapshot) -> int:
        return len(row.counts)

    @admin.display(description="Warnings")
    def warned(self, row: DatasetSnapshot) -> int:
        return len(row.warnings)


def may_see(request: HttpRequest, item: SnapshotItem) -> bool:
    """Uploads are for those who may see recognitions."""
    return item.source == SnapshotItem.Source.BASE or may_view("predictions", "prediction")(request)


def _drawn(request: HttpRequest, row: DatasetSnapshot) -> dict[str, Any]:
    names = display_names(row.model)
    sample = SnapshotItem.objects.alive().filter(pk__in=row.changes.get("sample", []))
    return {
        "title": str(row),
        "status_chip": status_chip(row),
        "classes": _class_rows(row, names),
        "parts": [(part, sum(counts[part] for counts in row.counts.values())) for part in Part.values],
        "sources": [(SnapshotItem.Source(source).label, number) for source, number in row.num_of_source.items()],
        "options": _options(row),
        "left_out": [(number, REASONS.get(reason, reason)) for reason, number in row.left_out.items()],
        "warnings": [with_names(words, names) for words in row.warnings],
        "changes": _changes(row, names),
        "relabelled": _relabelled(row, names),
        "num_erased": row.items.exclude(erased_at=None).count(),
        "sample": [
            (thumbnail(reverse("admin:training_snapshotitem_thumbnail", args=[item.pk]), name), name)
            for item, name in ((item, names.get(item.label, item.label)) for item in sample)
            if may_see(request, item)
        ],
    }


def _class_rows(row: DatasetSnapshot, names: dict[str, str]) -> list[ClassRow]:
    longest = max((sum(parts.values()) for parts in row.counts.values()), default=1)
    return [_class_row(names.get(key, key), parts, longest) for key, parts in row.counts.items()]


def _class_row(name: str, parts: dict[str, int], longest: int) -> ClassRow:
    train, val, test = (parts[part] for part in Part.values)
    bar = format_html(BAR, longest, train, train, val, train + val, test)
    return ClassRow(name, bar, tuple(f"{number:,}" for number in (train, val, test, train + val + test)))


def _options(row: DatasetSnapshot) -> list[tuple[str, Any]]:
    labels = {name: field.label for name, field in FreezeForm.base_fields.items()}
    return [
        (str(labels[name]), {True: "yes", False: "no"}[value] if isinstance(value, bool) else value)
        for name, value in row.options.items()
        if name in labels and value is not None
    ]


def _changes(row: DatasetSnapshot, names: dict[str, str]) -> list[tuple[str, str, str]]:
    """Class, photos added, photos removed."""
    added, removed = row.changes.get("added", {}), row.changes.get("removed", {})
    keys = sorted({*added, *removed})
    return [(names.get(key, key), f"{added.get(key, 0):,}", f"{removed.get(key, 0):,}") for key in keys]


def _relabelled(row: DatasetSnapshot, names: dict[str, str]) -> list[tuple[str, int]]:
    """Both labels, and how many photos."""
    pairs = ((pair.split(ARROW), number) for pair, number in row.changes.get("relabelled", {}).items())
    return [(ARROW.join(names.get(key, key) for key in keys), number) for keys, number in pairs]


@admin.register(TestState)
class TestStateAdmin(MomentCell, HistoryAdmin):
    list_display = ("__str__", "num_photos", "changes", "when")
    list_filter = (("model", RelatedDropdownFilter),)
    list_select_related = ("model",)
