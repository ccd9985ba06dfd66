"""What old training runs leave on disk, and when it goes. The rows stay."""

import shutil
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.timezone import now

from classifier_core.reports.redaction import without_photos
from recognizer.predictions.models import Blob, Prediction
from recognizer.predictions.trial_models import Trial
from recognizer.registry import artifact_store
from recognizer.registry.models import LoadedVersion, ModelVersion, Promotion, RegisteredModel, RemovedArtifact
from recognizer.storage import reachable
from recognizer.training.checkup_models import PhotoDecision
from recognizer.training.models import Job, PhotoImport
from recognizer.training.run_models import TrainingRun

KEPT_RUNS = 5  # of each model: the newest ones keep their folder with report and log
STOPPED_KEPT = timedelta(days=7)  # a failed or cancelled run can go on for so long
CANDIDATE_KEPT = timedelta(days=30)  # a candidate can be promoted for so long
WEIGHTS = ("checkpoint.safetensors", "best.safetensors", "last.safetensors")
LISTS = ("train.txt", "val.txt", "test.txt")  # the labels of photos, which an erasure does not find here
REASON = "Never served, and a newer candidate is there."


def clean(at: datetime | None = None) -> list[str]:
    """Remove what the rule lets go; a sentence for each."""
    at = at or now()
    said = [_remove_folder(run) for run in _old_runs(at)]
    for run in TrainingRun.objects.filter(cleaned_at=None).exclude(status=Job.Status.RUNNING):
        _remove_photos(run)
        _hide_photos(run)
    remove_archives()
    forget_labels()
    said += [_remove_artifact(version, at) for version in removable_versions(at)]
    for removed in RemovedArtifact.objects.select_related("version"):  # of a cleaning that was killed
        _remove_files(removed.version)
    return [words for words in said if words]


def remove_archives() -> None:
    """The zips of imports that ended without a worker, because they killed each."""
    for ended in PhotoImport.objects.finished().exclude(archive=""):
        with reachable():
            default_storage.delete(ended.archive)
        PhotoImport.objects.filter(pk=ended.pk).update(archive="")


def forget_labels() -> None:
    """What was decided about photos that are gone: that something was, and no more."""
    gone = ~Exists(Blob.objects.filter(pk=OuterRef("blob_sha256")))
    PhotoDecision.objects.exclude(label="", previous_label="").filter(gone).update(label="", previous_label="")


def drop_weights(folder: Path) -> None:
    """What a finished run needs no more: the artifact is in its store, the photos in its snapshot."""
    for name in (*WEIGHTS, *LISTS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "artifact", ignore_errors=True)
    folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def removable_versions(at: datetime) -> QuerySet[ModelVersion]:
    """Old candidates whose artifact nobody needs: never promoted, in no answer, not on trial, and not the newest."""
    of_this = {"version": OuterRef("pk")}
    newer = ModelVersion.objects.filter(model=OuterRef("model"), number__gt=OuterRef("number"))
    starts = TrainingRun.objects.unfinished().filter(start_version=OuterRef("pk"))
    return ModelVersion.objects.filter(
        Exists(TrainingRun.objects.filter(candidate=OuterRef("pk"))),
        Exists(newer),
        ~Exists(Promotion.objects.filter(**of_this)),
        ~Exists(Prediction.objects.filter(**of_this)),
        ~Exists(LoadedVersion.objects.filter(**of_this)),
        ~Exists(RemovedArtifact.objects.filter(**of_this)),
        ~Exists(starts),
        ~Exists(Trial.objects.running().filter(**of_this)),
        created_at__lt=at - CANDIDATE_KEPT,
    )


def _old_runs(at: datetime) -> list[TrainingRun]:
    rows = TrainingRun.objects.finished().filter(cleaned_at=None).select_related("model", "candidate")
    stopped = rows.filter(~Q(status=Job.Status.READY), finished_at__lt=at - STOPPED_KEPT)
    done = rows.filter(status=Job.Status.READY).order_by("-number")
    old = [run for model in RegisteredModel.objects.all() for run in islice(done.filter(model=model), KEPT_RUNS, None)]
    return [*stopped, *(run for run in old if not _is_history(run.candidate))]


def _is_history(version: ModelVersion | None) -> bool:
    """Whether it serves, served, or is named by an answer."""
    return version is not None and (
        Promotion.objects.filter(version=version).exists() or Prediction.objects.filter(version=version).exists()
    )


def _remove_folder(run: TrainingRun) -> str:
    # The row first, naming the state: a run that goes on meanwhile keeps its folder.
    if not TrainingRun.objects.finished().filter(pk=run.pk, cleaned_at=None).update(cleaned_at=now()):
        return ""
    shutil.rmtree(run.path, ignore_errors=True)
    _remove_photos(run)
    run.path.with_name(f"{run.folder}.lock").unlink(missing_ok=True)
    with reachable():
        default_storage.delete(run.report_name)
    return f"The folder of {run} was removed."


def _remove_photos(run: TrainingRun) -> None:
    """Photos that a killed worker left lying, also those that were erased meanwhile."""
    shutil.rmtree(run.path.with_name(f"{run.folder}.photos"), ignore_errors=True)


def _hide_photos(run: TrainingRun) -> None:
    """A report shows some photos; once one of the snapshot was erased, it shows none."""
    with reachable():
        if not run.has_erased_photos() or not default_storage.exists(run.report_name):
            return
        with default_storage.open(run.report_name) as file:
            page = file.read().decode()
        if (hidden := without_photos(page)) != page:
            default_storage.save(run.report_name, ContentFile(hidden.encode()))


def _remove_artifact(version: ModelVersion, at: datetime) -> str:
    with transaction.atomic():
        # A promotion locks the model too: it comes before, and is seen here, or after, and sees the row.
        RegisteredModel.objects.select_for_update().get(pk=version.model_id)
        if not removable_versions(at).filter(pk=version.pk).exists():
            return ""
        RemovedArtifact.objects.create(version=version, reason=REASON)
    _remove_files(version)
    return f"The artifact of {version} was removed."


def _remove_files(version: ModelVersion) -> None:
    """Unless another model has a version of the same artifact."""
    sha256 = version.artifact_sha256
    if not ModelVersion.objects.filter(artifact_sha256=sha256, removed_artifact=None).exists():
        artifact_store.remove(sha256)
