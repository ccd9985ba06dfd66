"""Make a finished artifact a version of a registered model: one that was handed over, or trained here."""

import contextlib
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max

from classifier_core.artifact import Artifact, load_artifact
from classifier_core.errors import ClassifierError
from recognizer.registry import artifact_store
from recognizer.registry.models import Evaluation, Label, ModelVersion, RegisteredModel, RemovedArtifact

SKIPPED = (
    "Imported: trained elsewhere, so its photos, its split and its figures are the importer's word, not measured here."
)


def import_artifact(
    source: Path, *, model_name: str, description: str = "", by: User | None = None
) -> tuple[ModelVersion, bool]:
    """The version that holds this artifact, and whether it is new. The files come first, the rows after.

    For one that is there already this makes missing or damaged files anew, and measures what a new runtime asks for.

    Loads torch for the export, so this is for commands and workers. Raises ClassifierError when the artifact is broken
    or its export does not answer like the original.
    """
    _check_name(model_name)
    artifact = load_artifact(source)
    parity = install(artifact)
    existing = ModelVersion.objects.filter(model__name=model_name, artifact_sha256=artifact.sha256).first()
    if existing:
        RemovedArtifact.objects.filter(version=existing).delete()  # its files are there again
        return existing, False
    try:
        return _register_import(artifact, parity, model_name=model_name, description=description, by=by), True
    except IntegrityError:  # the same import ran beside us and was first
        return ModelVersion.objects.get(model__name=model_name, artifact_sha256=artifact.sha256), False


def _check_name(name: str) -> None:
    try:
        RegisteredModel(name=name).clean_fields()
    except ValidationError as error:
        raise ClassifierError(f"{name!r} cannot name a model. {' '.join(error.messages)}") from error


def install(artifact: Artifact) -> dict[str, Any]:
    """Put the artifact and the engine files derived from it where every worker finds them. Gives their parity figures.

    Loads torch. Raises ClassifierError when the export does not answer like the original, StorageUnavailable.
    """
    parity = _install_here(artifact)
    artifact_store.publish(artifact.sha256)
    return parity


def _install_here(artifact: Artifact) -> dict[str, Any]:
    folder = artifact_store.folder_of(artifact.sha256)
    if folder.exists():
        # Workers may read from it: left where it is, unless it is damaged or half-made.
        with contextlib.suppress(ClassifierError):
            return _derive(load_artifact(folder, sha256=artifact.sha256), source=artifact)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        for name in ("artifact.json", "model.safetensors"):
            shutil.copyfile(artifact.folder / name, scratch / name)
        parity = _derive(load_artifact(scratch, sha256=artifact.sha256), source=artifact)
        shutil.rmtree(folder, ignore_errors=True)  # only now that there is a better one
        artifact_store.move_in(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return parity


def _derive(copy: Artifact, *, source: Artifact) -> dict[str, Any]:
    """The exported graph, and what was measured of it."""
    from classifier_core.export import export_onnx  # loads torch

    parity = {f"batch of {size}": asdict(figures) for size, figures in export_onnx(copy).items()}
    return parity | _measure_fast_precisions(copy, source=source)


def _measure_fast_precisions(artifact: Artifact, *, source: Artifact) -> dict[str, Any]:
    """Whether bfloat16, on CPU and on CUDA, answers like float32, so that workers may use it.

    What was measured elsewhere on photos of its classes comes with the artifact, and says more than crops here. What
    was measured here on such photos stays.
    """
    from classifier_core.crops import sample_crops
    from classifier_core.engines.precision import (
        MIN_PICTURES,
        fast_specs,
        measure_parity,
        store_parity,
        stored_parity,
    )

    figures = {}
    for spec in fast_specs():
        brought, parity = stored_parity(source, spec), stored_parity(artifact, spec)
        if brought and brought.knows_answers and not (parity and parity.knows_answers):
            parity = brought
            store_parity(artifact, spec, parity)
        if parity is None:
            crops = sample_crops(artifact.preprocessing, MIN_PICTURES)
            parity = measure_parity(artifact, spec, crops, num_threads=os.cpu_count() or 1)
        figures[str(spec)] = asdict(parity)
    return figures


@transaction.atomic
def _register_import(
    artifact: Artifact, parity: dict[str, Any], *, model_name: str, description: str, by: User | None
) -> ModelVersion:
    model, _ = RegisteredModel.objects.get_or_create(name=model_name, defaults={"description": description})
    source = str(artifact.provenance.get("source", ""))
    version = register(artifact, parity, model=model, source=source, skipped=SKIPPED, by=by)
    for figures in artifact.provenance.get("evaluations", []):
        Evaluation.objects.create(version=version, source=Evaluation.CLAIMED, **figures)
    return version


@transaction.atomic
def register(
    artifact: Artifact, parity: dict[str, Any], *, model: RegisteredModel, source: str, skipped: str, by: User | None
) -> ModelVersion:
    """The model's next version, with labels for its classes. `skipped` says what it was not judged by.

    Raises IntegrityError when the model has a version of this artifact.
    """
    model = RegisteredModel.objects.select_for_update().get(pk=model.pk)
    known = set(model.labels.values_list("key", flat=True))
    Label.objects.bulk_create(
        Label(model=model, key=entry.key, names=entry.names) for entry in artifact.labels if entry.key not in known
    )
    return ModelVersion.objects.create(
        model=model,
        number=(model.versions.aggregate(newest=Max("number"))["newest"] or 0) + 1,
        artifact_sha256=artifact.sha256,
        architecture=artifact.architecture,
        num_classes=artifact.num_classes,
        manifest=_manifest(artifact),
        parity=parity,
        source=source,
        skipped_checks=skipped,
        created_by=by,
    )


def _manifest(artifact: Artifact) -> dict[str, Any]:
    """What the artifact says of itself, without its labels, which are rows."""
    return {
        "format": artifact.format,
        "architecture": artifact.architecture,
        "preprocessing": artifact.preprocessing.to_dict(),
        "calibration": asdict(artifact.calibration) if artifact.calibration else None,
        "thresholds": asdict(artifact.thresholds) if artifact.thresholds else None,
        "provenance": artifact.provenance,
    }
