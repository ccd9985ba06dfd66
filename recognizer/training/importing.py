"""Take base photos in from a folder, a CSV or a zip. For workers and commands: it loads numpy."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.db import transaction

from classifier_core.datasets.archive import open_dataset
from classifier_core.datasets.folder import Dataset, Photo
from classifier_core.datasets.looks import look_at_bytes
from classifier_core.errors import ClassifierError, DatasetInvalid
from classifier_core.images import read_header
from recognizer.predictions import blobs
from recognizer.predictions.intake import insert_or_lock
from recognizer.predictions.models import Blob
from recognizer.registry.models import Label, RegisteredModel
from recognizer.registry.taxonomy import fitting, key_of
from recognizer.storage import reachable
from recognizer.training.models import BasePhoto, PhotoImport

BATCH = 32  # photos of one transaction; their bytes are in memory together
MAX_PROBLEMS = 100  # sentences kept
Say = Callable[[str], None]


@dataclass
class Imported:
    """How it went."""

    num_added: int = 0
    num_known: int = 0  # there already
    problems: list[str] = field(default_factory=list)  # what was left out, a sentence each


def model_named(name: str, *, is_new: bool) -> RegisteredModel:
    """The model that gets photos, made where it is said to be new. Raises DatasetInvalid."""
    try:
        if not is_new or RegisteredModel.objects.filter(name=name).exists():
            return RegisteredModel.named(name)
        RegisteredModel(name=name).clean_fields()
    except (RegisteredModel.DoesNotExist, ValidationError) as error:
        raise DatasetInvalid(" ".join(error.messages) if isinstance(error, ValidationError) else str(error)) from error
    return RegisteredModel.objects.create(name=name)


def import_base_photos(
    dataset: Dataset,
    model: RegisteredModel,
    *,
    adds_classes: bool,
    by: User | None,
    say: Say = lambda _: None,
) -> Imported:
    """Make each photo a base photo of the model, under the label that its folder is named like.

    What cannot be taken is left out with a sentence. The same photos a second time add nothing.

    Raises DatasetInvalid when a folder names no label and no classes are to be added: nothing is stored then.
    StorageFull, StorageUnavailable.
    """
    labels = _labels(dataset, model, adds_classes=adds_classes)
    imported = Imported()
    for start in range(0, len(dataset.photos), BATCH):
        say(f"Storing photos: {start} of {len(dataset.photos)}")
        readable = list(_readable(dataset, dataset.photos[start : start + BATCH], imported))
        _store(readable, labels, dataset, imported, model=model, by=by)
    return imported


def _labels(dataset: Dataset, model: RegisteredModel, *, adds_classes: bool) -> dict[str, Label]:
    """The label of each folder, which is named like its key or like one of its display names."""
    known = _by_name(model.labels.all())
    found = {name: known.get(name) or known.get(key_of(name)) for name in dataset.labels}
    missing = {name: key_of(name) for name, label in found.items() if label is None}
    nameless = [name for name, key in missing.items() if not key]
    if nameless:
        raise DatasetInvalid(f"The folder {nameless[0]!r} cannot name a class. Use letters or digits.")
    if missing and not adds_classes:
        raise DatasetInvalid(_unknown(model, sorted(missing)))
    in_turn = sorted(missing.items(), reverse=True)  # of two folders that make one key the first gives the name
    new = {key: Label(model=model, key=key, names=fitting({"en": name})) for name, key in in_turn}
    Label.objects.bulk_create(new.values(), ignore_conflicts=True)
    added = {label.key: label for label in model.labels.filter(key__in=new)}
    return {name: label or added[missing[name]] for name, label in found.items()}


def _by_name(labels: Iterable[Label]) -> dict[str, Label]:
    """Labels by their keys and, as `key_of` writes them, all their names. Keys come first, then labels in use."""
    in_order = sorted(labels, key=lambda label: label.merged_into_id is None and label.retired_at is None)
    named = {key_of(name): label for label in in_order for name in label.names.values() if name}
    alike = {key_of(label.key): label for label in in_order}
    return named | alike | {label.key: label for label in in_order}


def _unknown(model: RegisteredModel, missing: list[str]) -> str:
    names = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return f"{model.name} has no class {names}. Name the folders like its labels, or let new classes be added."


def _readable(dataset: Dataset, photos: Sequence[Photo], imported: Imported) -> Iterator[tuple[Photo, bytes, Blob]]:
    """Those that can be decoded, which is found out here: the web process draws only what a worker has decoded."""
    with ThreadPoolExecutor() as threads:
        for photo, found in zip(photos, threads.map(_read, photos), strict=True):
            if isinstance(found, str):
                _note(imported, f"{dataset.name_of(photo)} was left out: {found}")
            else:
                yield photo, *found


def _read(photo: Photo) -> tuple[bytes, Blob] | str:
    """The bytes and the row for them, or why it cannot be taken."""
    try:
        raw = photo.path.read_bytes()
        header = read_header(raw, blobs.limits())
    except (ClassifierError, OSError) as error:
        return str(error)
    if problem := look_at_bytes(raw).problem:
        return problem
    size = {"num_bytes": len(raw), "width": header.width, "height": header.height}
    return raw, Blob(sha256=blobs.write(raw), format=header.format, **size)


@transaction.atomic
def _store(
    photos: Sequence[tuple[Photo, bytes, Blob]],
    labels: dict[str, Label],
    dataset: Dataset,
    imported: Imported,
    *,
    model: RegisteredModel,
    by: User | None,
) -> None:
    for photo, raw, blob in sorted(photos, key=lambda one: one[2].pk):  # in order, or two imports deadlock
        if insert_or_lock(blob):
            blobs.ensure(blob.pk, raw)
        fields = {"label": labels[photo.label], "source": dataset.name_of(photo)[:300], "created_by": by}
        row, is_new = BasePhoto.objects.get_or_create(model=model, blob=blob, defaults=fields)
        imported.num_added += is_new
        imported.num_known += not is_new
        if row.label_id != labels[photo.label].pk:
            _note(imported, f"{dataset.name_of(photo)} is there already as {row.label.key!r}, which it stays.")


def _note(imported: Imported, problem: str) -> None:
    if len(imported.problems) < MAX_PROBLEMS:
        imported.problems.append(problem)


def unpack(photo_import: PhotoImport) -> None:
    """Import the photos of a zip that was claimed: it ends ready, or failed with the reason, and the zip goes."""
    try:
        imported = _import_archive(photo_import)
    except (ClassifierError, OSError, MemoryError) as error:
        ended = photo_import.fail(str(error) or "This machine has too little memory for the zip.")
    else:
        ended = photo_import.finish(**vars(imported))
    if ended:
        with reachable():
            default_storage.delete(photo_import.archive)


def _import_archive(photo_import: PhotoImport) -> Imported:
    with tempfile.TemporaryDirectory(prefix="recognizer-") as folder:
        path = Path(folder) / "photos.zip"
        with reachable(), default_storage.open(photo_import.archive) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
        with open_dataset(path, min_labels=1) as dataset:
            return import_base_photos(
                dataset,
                photo_import.model,
                adds_classes=photo_import.adds_classes,
                by=photo_import.created_by,
                say=lambda words: _renew(photo_import, words),
            )


def _renew(photo_import: PhotoImport, words: str) -> None:
    photo_import.renew(words)  # lost: another worker imports the same photos, which adds nothing twice
