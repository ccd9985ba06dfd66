"""Base photos: looked at, taken out, imported from a zip."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from recognizer.predictions.admin import cells
from recognizer.predictions.admin.cells import MomentCell
from recognizer.predictions.admin.filters import CappedPaginator
from recognizer.registry.admin.history import HistoryAdmin, StaffRequest
from recognizer.registry.models import RegisteredModel
from recognizer.training.admin.pictures import thumbnail, thumbnail_response
from recognizer.training.base_photos import ask_for_import, remove_base_photo
from recognizer.training.models import BasePhoto, Job, PhotoImport

STATUS_TONES = {
    Job.Status.PENDING: "wait",
    Job.Status.RUNNING: "wait",
    Job.Status.READY: "good",
    Job.Status.FAILED: "bad",
}
ZIP_START = b"PK\x03\x04"


def status_chip(job: Job) -> SafeString:
    return cells.chip(job.status, STATUS_TONES[Job.Status(job.status)])


@admin.register(BasePhoto)
class BasePhotoAdmin(MomentCell, HistoryAdmin):
    list_display = ("picture", "label", "model", "source", "created_by", "when")
    list_display_links = ("label",)
    list_filter = (("model", RelatedDropdownFilter), ("label", RelatedDropdownFilter))
    list_select_related = ("model", "label", "created_by")
    search_fields = ("source", "label__key")
    search_help_text = "File name or label"
    paginator = CappedPaginator
    fields = ("picture", "label", "model", "source", "created_by", "when")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("training.delete_basephoto")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.thumbnail_view)
        return [path("<int:pk>/thumbnail/", view, name="training_basephoto_thumbnail"), *super().get_urls()]

    def thumbnail_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return thumbnail_response(get_object_or_404(BasePhoto, pk=pk).blob_id)

    @admin.display(description="Picture")
    def picture(self, photo: BasePhoto) -> SafeString:
        return thumbnail(reverse("admin:training_basephoto_thumbnail", args=[photo.pk]))

    def delete_model(self, request: HttpRequest, obj: BasePhoto) -> None:
        remove_base_photo(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[BasePhoto]) -> None:
        for photo in queryset:
            remove_base_photo(photo)


class ImportForm(forms.ModelForm[PhotoImport]):
    """A zip with a folder of photos for each class; a script packs a chosen folder as one."""

    model = forms.ModelChoiceField(
        RegisteredModel.objects.all(), empty_label="Choose a model", widget=UnfoldAdminSelectWidget
    )
    archive = forms.FileField(
        label="Zip",
        widget=UnfoldAdminFileFieldWidget,
        help_text="A folder of photos for each class, named like a label of the model: its key, or a name of it.",
        error_messages={"required": "Choose a zip. A folder is packed as one where the browser runs scripts."},
    )
    folder = forms.FileField(
        required=False,
        label="Or a folder",
        # The script enables it. Without one the browser would send the files without the names of their folders.
        widget=UnfoldAdminFileFieldWidget(
            attrs={"webkitdirectory": True, "disabled": True, "data-max-bytes": settings.RECOGNIZER_MAX_FORM_BYTES}
        ),
        help_text="With folders in it, named likewise; it is packed before it is sent. Needs JavaScript.",
    )
    adds_classes = forms.BooleanField(
        required=False,
        label="Add new classes",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Folders that no label is named like become labels.",
    )

    class Meta:
        model = PhotoImport
        fields = ("model", "archive", "folder", "adds_classes")

    def clean_archive(self) -> Any:
        archive = self.cleaned_data["archive"]
        is_zip = archive.read(len(ZIP_START)) == ZIP_START
        archive.seek(0)
        if not is_zip:
            raise ValidationError("This is not a zip. Pack the folder with the classes, and choose the packed file.")
        return archive


def _may_add_classes(request: HttpRequest) -> bool:
    return request.user.has_perm("registry.add_label")


@admin.register(PhotoImport)
class PhotoImportAdmin(MomentCell, HistoryAdmin):
    list_display = ("file_name", "model", "status_shown", "outcome", "created_by", "when")
    list_display_links = ("file_name",)
    list_filter = (("model", RelatedDropdownFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("model", "created_by")
    fields = ("file_name", "model", "status_shown", "outcome", "problems_shown", "adds_classes", "created_by", "when")

    class Media:
        js = (forms.Script("recognizer/folder.js", type="module"), "recognizer/waiting.js")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("training.add_photoimport")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        return super().get_form(request, obj, change, **kwargs) if obj else ImportForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        asked = [name for name in ImportForm.base_fields if name != "adds_classes" or _may_add_classes(request)]
        return [(None, {"fields": self.fields if obj else asked})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return tuple(self.fields) if obj else ()

    def save_model(self, request: StaffRequest, obj: PhotoImport, form: forms.Form, change: bool) -> None:
        asked = ask_for_import(
            form.cleaned_data["archive"],
            form.cleaned_data["model"],
            adds_classes=form.cleaned_data.get("adds_classes", False) and _may_add_classes(request),
            by=request.user,
        )
        vars(obj).update(vars(asked))
        messages.info(request, "A worker unpacks the zip now. This page says when it is done.")

    @admin.display(description="Status")
    def status_shown(self, row: PhotoImport) -> SafeString:
        chip = status_chip(row)
        return chip if row.is_finished else format_html("<span data-waiting>{}</span>", chip)

    @admin.display(description="Outcome")
    def outcome(self, row: PhotoImport) -> str:
        if not row.is_finished:
            return row.progress or "It waits for a worker."
        known = f", {row.num_known} were there already" if row.num_known else ""
        left_out = f", {len(row.problems)} remarks" if row.problems else ""
        return row.error or f"{row.num_added} photos are new{known}{left_out}"

    @admin.display(description="Left out")
    def problems_shown(self, row: PhotoImport) -> SafeString | str:
        return format_html_join("", "<p>{}</p>", ((problem,) for problem in row.problems)) or (
            "nothing" if row.is_finished else "not known yet"
        )
