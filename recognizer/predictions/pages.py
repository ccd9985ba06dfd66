"""The pages of the people who upload. Each works as plain forms; scripts only add comfort."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier_core.errors import ImageRefused
from recognizer.predictions import doorbell, erasure
from recognizer.predictions.blobs import StorageFull
from recognizer.predictions.describe import label_names
from recognizer.predictions.erasure import StillRunning
from recognizer.predictions.feedback import NotAnswered, TooManyClaims, claim
from recognizer.predictions.forms import FeedbackForm, HistoryForm, UploadForm
from recognizer.predictions.history import own_history
from recognizer.predictions.intake import NothingServes, Overloaded, UnknownModel, Upload, submit
from recognizer.predictions.models import Feedback, Owner, Prediction
from recognizer.predictions.ownership import (
    erasable_by,
    erased_by,
    owner_for_upload,
    owner_of,
    remember_visitor,
    retryable_by,
    visible_to,
)
from recognizer.predictions.presentation import bars_of, has_picture, spans_of
from recognizer.predictions.throttles import UploadThrottle
from recognizer.problems import RETRY_SECONDS, STATUS_OF_ERROR, STATUS_OF_REFUSAL
from recognizer.registry.models import Label
from recognizer.storage import StorageUnavailable

# What submit() may raise besides a refused image.
SAID_AT_THE_FIELD = (UnknownModel, NothingServes, Overloaded, StorageFull, StorageUnavailable)


@dataclass(frozen=True)
class Refusal:
    """Why one file was not taken, and the status that says so."""

    file_name: str
    reason: str
    status: int


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def upload(request: HttpRequest) -> HttpResponse:
    """Choose photos and see what is in them."""
    owner = owner_for_upload(request)
    response = _take(request, owner) if request.method == "POST" else _upload_page(request, UploadForm())
    remember_visitor(request, response, owner)
    return response


def _take(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Submit the files of a plain form."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _upload_page(request, form, status=400)
    stored, refusals = _submit_each(request, form, owner)
    if refusals:
        return _refused_page(request, form, num_stored=len(stored), refusals=refusals)
    return redirect("prediction", stored[0].pk) if len(stored) == 1 else redirect("history")


def _submit_each(request: HttpRequest, form: UploadForm, owner: Owner) -> tuple[list[Prediction], list[Refusal]]:
    stored, refusals = [], []
    for file in form.cleaned_data["images"]:
        name = file.name or ""
        if not UploadThrottle().allow_request(request):
            refusals.append(
                Refusal(name, _("Too many photos in a short time. Wait a minute, then send it again."), 429)
            )
            continue
        try:
            raw = file.read()
            stored.append(submit(Upload(raw, name), owner=owner, options=form.to_options(raw)).prediction)
        except ImageRefused as refused:
            refusals.append(Refusal(name, str(refused), STATUS_OF_REFUSAL[refused.code]))
        except SAID_AT_THE_FIELD as error:
            refusals.append(Refusal(name, str(error), STATUS_OF_ERROR[type(error)][0]))
    return stored, refusals


def _refused_page(request: HttpRequest, form: UploadForm, *, num_stored: int, refusals: list[Refusal]) -> HttpResponse:
    for refusal in refusals:
        form.add_error("images", f"{refusal.file_name}: {refusal.reason}" if refusal.file_name else refusal.reason)
    if num_stored:
        said = ngettext(
            "%(count)d other photo was taken; it is in your history.",
            "%(count)d other photos were taken; they are in your history.",
            num_stored,
        )
        messages.success(request, said % {"count": num_stored})
    response = _upload_page(request, form, status=refusals[0].status)
    if response.status_code == 503:
        response["Retry-After"] = RETRY_SECONDS
    return response


def _upload_page(request: HttpRequest, form: UploadForm, *, status: int = 200) -> HttpResponse:
    max_bytes = settings.RECOGNIZER_MAX_UPLOAD_BYTES
    context = {
        "form": form,
        "max_bytes": max_bytes,
        "max_megabytes": f"{max_bytes / 1e6:g}",
        "max_files": settings.DATA_UPLOAD_MAX_NUMBER_FILES,
        "max_form_megabytes": f"{settings.RECOGNIZER_MAX_FORM_BYTES / 1e6:.0f}",
    }
    return render(request, "predictions/upload.html", context, status=status)


@require_safe
@never_cache
def history(request: HttpRequest) -> HttpResponse:
    """Own past recognitions, newest first."""
    form = HistoryForm(request.GET)
    is_valid = form.is_valid()
    page = own_history(owner_of(request), form.cleaned_data, cursor=request.GET.get("after", ""))
    names = label_names(page.rows)
    context = {
        "form": form,
        "tiles": [{"row": row, "bars": bars_of(row, names), "has_picture": has_picture(row)} for row in page.rows],
        "is_filtered": any(form.cleaned_data.values()) or not is_valid,
        "is_first": not request.GET.get("after"),
        "older": _query_after(request, page.next_cursor) if page.next_cursor else "",
    }
    return render(request, "predictions/history.html", context)


def _query_after(request: HttpRequest, cursor: str) -> str:
    query = request.GET.copy()
    query["after"] = cursor
    return query.urlencode()


@require_safe
@never_cache
def prediction(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One recognition: the picture, the answer and what was said about it."""
    return _prediction_page(request, _find(request, pk), FeedbackForm())


def _find(request: HttpRequest, pk: UUID) -> Prediction:
    """Raises Http404 also when it is somebody else's."""
    rows = visible_to(request).select_related("image__blob", "model", "version")
    return get_object_or_404(rows.prefetch_related("reviews__label", "feedback__label", "feedback__user"), pk=pk)


def _prediction_page(request: HttpRequest, row: Prediction, form: FeedbackForm, *, status: int = 200) -> HttpResponse:
    if row.status == Prediction.Status.ERASED:
        return render(request, "predictions/erased.html", {"row": row}, status=410)
    context = {
        "row": row,
        "form": form,
        "bars": bars_of(row, label_names([row])),
        "spans": spans_of(row),
        "has_picture": has_picture(row),
        "labels": _choosable_labels(row),
        "claims": [(said, _speaker(request, said)) for said in row.feedback.all()],
        "may_retry": not row.is_hopeless and retryable_by(request).filter(pk=row.pk).exists(),
        "may_erase": erasable_by(request).filter(pk=row.pk).exists(),
    }
    return render(request, "predictions/prediction.html", context, status=status)


def _speaker(request: HttpRequest, said: Feedback) -> str:
    """Who made a claim, for these eyes: names are for staff."""
    owner = owner_of(request)
    if owner == Owner(user=said.user, visitor=said.visitor) != Owner():
        return _("You")
    return said.user.get_username() if said.user and request.user.is_staff else _("Somebody")


def _choosable_labels(row: Prediction) -> QuerySet[Label]:
    if row.status != Prediction.Status.SUCCEEDED:
        return Label.objects.none()
    return Label.objects.filter(model=row.model_id, merged_into=None, retired_at=None)


@require_POST
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Queue a failed recognition once more."""
    if get_object_or_404(retryable_by(request), pk=pk).retry():
        doorbell.ring()
        messages.success(request, _("The photo is in the queue again."))
    else:
        messages.warning(request, _("Only a failed recognition can be tried again. This one has not failed."))
    return redirect("prediction", pk)


@require_POST
def erase(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Forget a recognition with its photo."""
    row = get_object_or_404(erasable_by(request), pk=pk)
    try:
        erasure.erase(row, erased_by=erased_by(request))
    except (StillRunning, StorageUnavailable) as refused:
        messages.warning(request, str(refused))
        return redirect("prediction", pk)
    messages.success(request, _("The recognition is erased: the photo, the answer and what was said about it."))
    return redirect("history")


@require_POST
def feedback(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say whether an answer is right."""
    row = _find(request, pk)
    is_correct = "correct" in request.POST
    form = FeedbackForm(request.POST)
    if not is_correct and not form.is_valid():
        return _prediction_page(request, row, form, status=400)
    words = "" if is_correct else form.cleaned_data["claimed_label"]
    try:
        claim(row, owner=owner_of(request), is_correct=is_correct, claimed_label=words)
    except (NotAnswered, TooManyClaims) as refused:
        messages.warning(request, str(refused))
    else:
        messages.success(request, _("Thank you. A reviewer will look at it."))
    return redirect("prediction", pk)
