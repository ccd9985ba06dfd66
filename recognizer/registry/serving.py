"""What this worker process serves. Desired is the newest promotion; loaded is what this module holds and reports."""

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import structlog
from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from classifier_core.classifier import Classification, Classifier, load_classifier
from classifier_core.engines import EngineSpec
from classifier_core.engines.timing import Configuration
from classifier_core.errors import ClassifierError, EngineUnavailable
from classifier_core.preprocessing import Preprocessing
from recognizer.registry import artifact_store, idle
from recognizer.registry.configurations import chosen_configuration, timed_at, timings_that_count
from recognizer.registry.models import LoadedVersion, ModelVersion, Promotion, RegisteredModel

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 3.0  # a promotion reaches a worker within this plus the load
FORGOTTEN_AFTER = timedelta(days=1)  # a worker that reported nothing for a day is gone for good


@dataclass(frozen=True)
class ServingVersion:
    """A loaded model version. `timed_at` is when the timings were made by which its configuration was chosen."""

    row: ModelVersion
    classifier: Classifier
    configuration: Configuration
    timed_at: datetime | None
    loaded_at: datetime

    @property
    def spec(self) -> EngineSpec:
        return self.classifier.engine.spec

    @property
    def preprocessing(self) -> Preprocessing:
        return self.classifier.artifact.preprocessing

    def classify(self, pixels: Sequence[np.ndarray], *, top_k: int) -> list[Classification]:
        return self.classifier.classify(pixels, top_k=top_k)


_loaded: dict[int, ServingVersion] = {}  # by registered model
_errors: dict[int, str] = {}
_loading = threading.Lock()
_stopping = threading.Event()


def serving_version(model_id: int) -> ServingVersion:
    """The loaded version of this registered model, loaded now if it never was or has left memory.

    Raises ClassifierError, OSError or MemoryError when there is none and the desired one does not load.
    """
    idle.note(model_id)
    return _loaded.get(model_id) or _load_again(RegisteredModel.objects.get(pk=model_id))


def start() -> None:
    """Load every desired version, then keep following promotions in a thread of this process."""
    _refresh_or_log()
    threading.Thread(target=_follow, name="serving", daemon=True).start()


def stop() -> None:
    """Stop following and take this worker's reports back."""
    _stopping.set()
    LoadedVersion.objects.filter(worker=worker_name()).delete()


def refresh() -> None:
    """Load what is desired, report what is loaded. A version that does not load leaves the previous one answering."""
    newest = timings_that_count().newest_by_artifact()
    for promotion in Promotion.objects.desired().select_related("version__model"):
        current = _loaded.get(promotion.model_id)
        is_held = _held_version(promotion.model_id) == promotion.version_id
        is_chosen = current is None or current.timed_at == newest.get(promotion.version.artifact_sha256)
        if not (is_held and is_chosen):
            report()  # a load may take longer than a report lives
            _try_load(promotion.version.model)
        else:
            _errors.pop(promotion.model_id, None)  # a rollback took the version that did not load back
    for model_id in idle.overdue([*_loaded], after_seconds=settings.RECOGNIZER_UNLOAD_AFTER):
        _unload(model_id)
    report()


def report() -> None:
    """Write what this worker has loaded, for the API, the admin and /readyz."""
    seen_at = now()
    for model_id in {*_loaded, *_errors, *idle.resting}:
        LoadedVersion.objects.update_or_create(
            worker=worker_name(), model_id=model_id, defaults={**_described(model_id), "seen_at": seen_at}
        )
    LoadedVersion.objects.filter(seen_at__lt=seen_at - FORGOTTEN_AFTER).delete()


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _described(model_id: int) -> dict[str, object]:
    error = _errors.get(model_id, "")
    version = _loaded.get(model_id) or idle.resting.get(model_id)
    if version is None:
        return {"version": None, "unloaded_at": None, "error": error}
    spec = version.spec
    return {
        "version": version.row,
        "engine": spec.engine,
        "device": spec.device,
        "precision": spec.precision,
        "loaded_at": version.loaded_at,
        "unloaded_at": version.unloaded_at if isinstance(version, idle.Resting) else None,
        "error": error,
    }


def _follow() -> None:
    while not _stopping.wait(REFRESH_SECONDS):
        _refresh_or_log()
        connection.close()


def _refresh_or_log() -> None:
    # The outermost frame of the thread: whatever goes wrong this time, the next time may go right.
    try:
        refresh()
    except Exception:
        log.exception("cannot follow promotions, trying again soon")


def _try_load(model: RegisteredModel) -> None:
    try:
        _load_desired(model)
    except (ClassifierError, OSError, MemoryError) as error:
        if _errors.get(model.pk) != str(error):
            log.exception("version does not load, the previous one goes on", model=model.name)
        _tell(model, error)


def _load_desired(model: RegisteredModel) -> ServingVersion:
    with _loading:
        row = model.desired_version()
        if row is None:
            raise EngineUnavailable(f"No version of {model.name} is promoted.")
        current = _loaded.get(model.pk)
        is_same = current is not None and current.row == row
        current = _keep(_chosen_anew(current) if current and is_same else load(row))
        _errors.pop(model.pk, None)
        return current


def _load_again(model: RegisteredModel) -> ServingVersion:
    """The desired version; where that does not load, the one that left memory."""
    try:
        return _load_desired(model)
    except (ClassifierError, OSError, MemoryError) as error:
        with _loading:  # by now the follower may have loaded it
            return _loaded.get(model.pk) or _load_resting(model, error)


def _load_resting(model: RegisteredModel, error: Exception) -> ServingVersion:
    """The one that left memory, where it is not the desired one that just failed: then its `error` is raised."""
    before = idle.resting.get(model.pk)
    try:
        if before is None or before.row == model.desired_version():
            raise error
        log.warning("version does not load, the previous one comes back", model=model.name, exc_info=error)
        return _keep(load(before.row))
    except (ClassifierError, OSError, MemoryError) as last:
        _tell(model, last)
        # What cannot come back does not rest: now it counts as not loaded, and the follower tries again.
        idle.resting.pop(model.pk, None)
        raise


def _tell(model: RegisteredModel, error: Exception) -> None:
    _errors[model.pk] = str(error) or "Out of memory."


def _keep(version: ServingVersion) -> ServingVersion:
    idle.note(version.row.model_id)  # else a promotion of a resting model would rest at once
    _loaded[version.row.model_id] = version
    idle.resting.pop(version.row.model_id, None)
    return version


def _unload(model_id: int) -> None:
    """Let go of a version. Whoever still answers with it holds it until it is done."""
    with _loading:
        version = _loaded[model_id]
        idle.resting[model_id] = idle.Resting(version.row, version.spec, version.loaded_at, unloaded_at=now())
        del _loaded[model_id]


def _held_version(model_id: int) -> int | None:
    """The number of the version's row that is in memory or has left it."""
    held = _loaded.get(model_id) or idle.resting.get(model_id)
    return held.row.pk if held else None


def _chosen_anew(current: ServingVersion) -> ServingVersion:
    """The same version as newer timings say; the very same network where they say what runs already."""
    artifact = current.classifier.artifact
    measured_at = timed_at(artifact)
    if chosen_configuration(artifact) == current.configuration:
        return replace(current, timed_at=measured_at)
    return load(current.row)


def loaded_versions() -> list[ServingVersion]:
    """What this process serves."""
    return list(_loaded.values())


def held(row: ModelVersion) -> ServingVersion | None:
    """This version, where it is the loaded one of its model."""
    version = _loaded.get(row.model_id)
    return version if version is not None and version.row.pk == row.pk else None


def load(row: ModelVersion) -> ServingVersion:
    """The version in memory, on the engine that would serve it. Raises ClassifierError, OSError, MemoryError."""
    artifact = artifact_store.fetch(row.artifact_sha256)
    measured_at = timed_at(artifact)  # before the choice: timings that come in between are then seen as newer
    chosen = chosen_configuration(artifact)
    classifier = load_classifier(artifact.folder, chosen.spec, num_threads=chosen.num_threads)
    return ServingVersion(row, classifier, chosen, measured_at, now())
