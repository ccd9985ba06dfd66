"""Leftovers: files that a crash left without a row, and rows that have served their time."""

import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils.timezone import now

from recognizer.predictions import blobs
from recognizer.predictions.models import Blob, IdempotencyKey

KEY_LIFETIME = timedelta(hours=24)
# A file is written before its row. One this old without a row belongs to an upload that died in between.
ORPHAN_SECONDS = 3600


def sweep_leftovers() -> None:
    """Remove expired idempotency keys, half-written files and blobs without a row. On object storage only the keys:
    a bucket's own lifecycle rules do the rest."""
    IdempotencyKey.objects.filter(created_at__lt=now() - KEY_LIFETIME).delete()
    oldest = time.time() - ORPHAN_SECONDS
    for path in (Path(settings.MEDIA_ROOT) / "blobs").rglob("*"):
        if path.is_file() and path.stat().st_mtime < oldest:
            _remove_orphan(path)


def _remove_orphan(path: Path) -> None:
    if path.suffix == ".part":
        path.unlink(missing_ok=True)
    elif not Blob.objects.filter(pk=path.name).exists():
        blobs.remove(path.name)
