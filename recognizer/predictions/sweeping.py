"""Leftovers: files that a crash left without a row, and rows that have served their time."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from recognizer.predictions import blobs
from recognizer.predictions.models import Blob, IdempotencyKey

KEY_LIFETIME = timedelta(hours=24)
# A file is written before its row. One this old without a row belongs to an upload that died in between.
ORPHAN_SECONDS = 3600


def sweep_leftovers() -> None:
    """Remove expired idempotency keys, half-written files, and blobs and pictures without a row. On object storage only
    the keys: a bucket's own lifecycle rules do the rest."""
    IdempotencyKey.objects.filter(created_at__lt=now() - KEY_LIFETIME).delete()
    for path in _old_files("blobs"):
        remove_orphan(path)
    for path in _old_files("renditions"):
        # A picture is drawn anew when it is missed, so nothing needs to be locked.
        if path.suffix == ".part" or not Blob.objects.filter(pk=path.name.split(".")[0]).exists():
            path.unlink(missing_ok=True)


def _old_files(folder: str) -> Iterator[Path]:
    oldest = time.time() - ORPHAN_SECONDS
    for path in (Path(settings.MEDIA_ROOT) / folder).rglob("*"):
        if path.is_file() and path.stat().st_mtime < oldest:
            yield path


def remove_orphan(path: Path) -> None:
    """Remove this old file of the blobs folder unless a row names it."""
    if path.suffix == ".part":
        path.unlink(missing_ok=True)
        return
    with transaction.atomic():
        # The row is taken while the file goes: an upload of the same bytes waits, and then writes the file anew.
        empty = {"num_bytes": 0, "format": "", "width": 0, "height": 0}
        blob, is_orphan = Blob.objects.get_or_create(sha256=path.name, defaults=empty)
        if is_orphan:
            blobs.remove(path.name)
            blob.delete()
