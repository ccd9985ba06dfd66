"""What the pages take from people."""

import hashlib
import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext_lazy as _

from recognizer.predictions.intake import PredictOptions
from recognizer.predictions.models import Prediction
from recognizer.registry.models import Promotion, RegisteredModel


def answering_models() -> QuerySet[RegisteredModel]:
    """The models that have a promoted version."""
    return RegisteredModel.objects.filter(Exists(Promotion.objects.filter(model=OuterRef("pk"))))


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One or several files. Their content is judged by intake, not by their names."""

    widget = FilesInput(attrs={"multiple": True})
    default_error_messages = {
        "required": _("Choose at least one photo first."),
        "max_length": _("The file's name is too long. Shorten it, then choose it again."),
    }

    def clean(self, data: Any, initial: Any = None) -> list["UploadedFile[bytes]"]:
        files = data if isinstance(data, list | tuple) else [data]
        return [super(FilesField, self).clean(file, initial) for file in files or [None]]


class UploadForm(forms.Form):
    images = FilesField(label=_("Photos"), max_length=255, allow_empty_file=True)
    model = forms.ModelChoiceField(
        answering_models(),
        label=_("Model"),
        to_field_name="name",
        error_messages={"invalid_choice": _("This model does not answer. Choose one of the list.")},
    )
    train = forms.BooleanField(label=_("May be used to improve the model"), required=False)
    page = forms.UUIDField(widget=forms.HiddenInput, required=False, initial=uuid.uuid4)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.models = list(self.fields["model"].queryset)  # type: ignore[attr-defined]
        self.initial.setdefault("model", self._first_choice())
        self.initial.setdefault("train", settings.RECOGNIZER_TRAIN_DEFAULT)

    def _first_choice(self) -> str:
        names = [model.name for model in self.models]
        default = settings.RECOGNIZER_DEFAULT_MODEL
        return default if default in names or not names else names[0]

    def to_options(self, photo: bytes) -> PredictOptions:
        """A second click on the button sends the same page's photo again: it is the same recognition."""
        values = self.cleaned_data
        model, train, page = values["model"].name, values["train"], values["page"]
        sent = hashlib.sha256(f"{page} {model} {train} ".encode() + photo).hexdigest() if page else ""
        return PredictOptions(model=model, train_allowed=train, idempotency_key=sent)


class DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class HistoryForm(forms.Form):
    """Filters of one's own history; empty ones filter nothing."""

    SHOWN_STATUSES = [
        ("", _("Any")),
        (Prediction.Status.SUCCEEDED, _("Recognised")),
        (Prediction.Status.PENDING, _("Waiting")),
        (Prediction.Status.RUNNING, _("Being recognised")),
        (Prediction.Status.FAILED, _("Failed")),
    ]
    label = forms.CharField(label=_("Name contains"), max_length=100, required=False)
    model = forms.ModelChoiceField(
        RegisteredModel.objects.all(), label=_("Model"), to_field_name="name", required=False, empty_label=_("Any")
    )
    status = forms.ChoiceField(label=_("State"), choices=SHOWN_STATUSES, required=False)
    start = forms.DateField(label=_("From"), widget=DateInput, required=False)
    end = forms.DateField(label=_("Until"), widget=DateInput, required=False)
    unknown = forms.BooleanField(label=_("Only “None of my classes”"), required=False)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        start, end = values.get("start"), values.get("end")
        if start and end and end < start:
            self.add_error("end", _("This day is before the first one. Swap the two."))
        return values


class FeedbackForm(forms.Form):
    claimed_label = forms.CharField(
        label=_("What is it?"),
        max_length=100,
        error_messages={"required": _("Write what it is, or choose a name from the list.")},
        widget=forms.TextInput(attrs={"list": "label-names", "autocomplete": "off"}),
    )
