"""Versions that this worker process holds beside what it serves. They answer nobody."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import connection

from recognizer.registry import serving
from recognizer.registry.models import ModelVersion
from recognizer.registry.serving import ServingVersion

_loader = ThreadPoolExecutor(1, thread_name_prefix="standby")
_versions: dict[int, Future[ServingVersion]] = {}


def loaded(row: ModelVersion) -> ServingVersion | None:
    """The version once it is loaded; None: ask again later, a thread loads it, and nobody waits for that.

    Raises what the load raised: ClassifierError, OSError, MemoryError; asked again it is tried again.
    """
    served = serving.held(row)
    if served is not None:
        return served
    if row.pk not in _versions:
        _versions[row.pk] = _loader.submit(_load, row)
    if not _versions[row.pk].done():
        return None
    if _versions[row.pk].exception() is not None:
        return _versions.pop(row.pk).result()
    return _versions[row.pk].result()


def _load(row: ModelVersion) -> ServingVersion:
    try:
        return serving.load(row)
    finally:
        connection.close()  # the thread's own, which it needs no more


def keep_only(rows: Collection[int]) -> None:
    """Let go of all versions but these."""
    for pk in _versions.keys() - rows:
        del _versions[pk]
