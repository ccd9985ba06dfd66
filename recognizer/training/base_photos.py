"""Photos that an administrator gives a model to learn from. `importing.py` takes them in."""

from pathlib import Path
from uuid import uuid4

from django.contrib.auth.models import User
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction

from recognizer.predictions.erasure import drop_unneeded
from recognizer.predictions.models import Blob
from recognizer.registry.models import RegisteredModel
from recognizer.storage import reachable
from recognizer.training import bell
from recognizer.training.models import BasePhoto, PhotoImport


def remove_base_photo(photo: BasePhoto) -> None:
    """Take a base photo out. Its bytes go with it, unless an upload or a snapshot needs them."""
    with transaction.atomic():
        blob = Blob.objects.select_for_update().get(pk=photo.blob_id)
        photo.delete()
        drop_unneeded(blob)


def ask_for_import(archive: File[bytes], model: RegisteredModel, *, adds_classes: bool, by: User | None) -> PhotoImport:
    """Keep the zip for a worker to unpack. Raises StorageFull, StorageUnavailable."""
    with reachable():
        name = default_storage.save(f"imports/{uuid4()}.zip", archive)
    file_name = Path(archive.name or "photos.zip").name[:255]
    with transaction.atomic():
        photo_import = PhotoImport.objects.create(
            model=model, file_name=file_name, archive=name, adds_classes=adds_classes, created_by=by
        )
        transaction.on_commit(lambda: bell.ring("import-photos"), robust=True)
    return photo_import
