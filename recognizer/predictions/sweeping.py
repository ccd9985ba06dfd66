"""Leftovers: files that a crash left without a row, rows that have served their time, copies that an upgrade missed."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice

from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.timezone import now

from recognizer.predictions import blobs
from recognizer.predictions.models import Blob, IdempotencyKey
from recognizer.predictions.review import repeat_verdicts

KEY_LIFETIME = timedelta(hours=24)
# A file is written before its row. One this old without a row belongs to an upload that died in between.
ORPHAN_AGE = timedelta(hours=1)
NUM_PARTS = 256  # the first two hexadecimal digits of a blob's name
NAMES_A_QUERY = 500


def sweep_part(part: int) -> None:
    """Repeat verdicts that are not, remove expired idempotency keys, and from one of 256 folders what no row names.

    That is blobs, pictures and half-written files. With one part a minute each file is looked at five times a day.
    """
    repeat_verdicts()
    IdempotencyKey.objects.filter(created_at__lt=now() - KEY_LIFETIME).delete()
    folder = f"{part % NUM_PARTS:02x}"
    for name in _orphans(_files_below(f"blobs/{folder}")):
        remove_orphan(name)
    for name in _orphans(_files_below(f"renditions/{folder}")):
        default_storage.delete(name)  # drawn anew when missed, so nothing needs to be locked


def _files_below(folder: str) -> Iterator[str]:
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    yield from (f"{folder}/{file}" for file in files)
    for child in folders:
        yield from _files_below(f"{folder}/{child}")


def _orphans(names: Iterable[str]) -> Iterator[str]:
    """The old files among these whose blob has no row."""
    remaining = iter(names)
    while some := list(islice(remaining, NAMES_A_QUERY)):
        known = set(Blob.objects.filter(pk__in=[_sha256_of(name) for name in some]).values_list("pk", flat=True))
        yield from (name for name in some if _sha256_of(name) not in known and _is_old(name))


def _sha256_of(name: str) -> str:
    """`blobs/ab/<sha>`, `renditions/ab/<sha>.thumbnail.jpg` or a half-written `.<sha>.1f2e.part`."""
    return name.rsplit("/", 1)[1].lstrip(".").split(".")[0]


def _is_old(name: str) -> bool:
    try:
        return default_storage.get_modified_time(name) < now() - ORPHAN_AGE
    except FileNotFoundError:  # gone meanwhile
        return False


def remove_orphan(name: str) -> None:
    """Remove this old file of the blobs folder unless a row names it by now."""
    if name.endswith(".part"):
        default_storage.delete(name)
        return
    with transaction.atomic():
        # The row is taken while the file goes: an upload of the same bytes waits, and then writes the file anew.
        empty = {"num_bytes": 0, "format": "", "width": 0, "height": 0}
        blob, is_orphan = Blob.objects.get_or_create(sha256=_sha256_of(name), defaults=empty)
        if is_orphan:
            blobs.remove(blob.sha256)
            blob.delete()
