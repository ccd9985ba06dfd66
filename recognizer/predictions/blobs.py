"""Original bytes by SHA-256. Written before the row that names them, removed with the last row."""

import errno
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages

from classifier_core.images import ImageLimits
from recognizer.storage import DurableStorage, is_local, reachable, settle

_askers = ThreadPoolExecutor(8, thread_name_prefix="bucket")


class StorageFull(OSError):
    """There is no room for one more upload."""


def limits() -> ImageLimits:
    """What an original may measure: the same at intake, in the worker and for the pictures shown."""
    return ImageLimits(max_bytes=settings.RECOGNIZER_MAX_UPLOAD_BYTES)


def name_of(sha256: str) -> str:
    """The blob's name in storage.

    256 folders: a million blobs are 4,000 files in each. One more level would make almost every upload create, and
    sync, two new folders.
    """
    return f"blobs/{sha256[:2]}/{sha256}"


def write(raw: bytes) -> str:
    """Store the bytes durably and return their SHA-256. Storing the same bytes twice is one file.

    Raises StorageFull or StorageUnavailable.
    """
    sha256 = hashlib.sha256(raw).hexdigest()
    if not ensure(sha256, raw):
        settle(name_of(sha256))
    return sha256


def ensure(sha256: str, raw: bytes) -> bool:
    """Write the file unless it is there; whether it was not. Raises StorageFull or StorageUnavailable."""
    name = name_of(sha256)
    try:
        if isinstance(storage := storages["default"], DurableStorage):
            return storage.ensure(name, raw)
        with reachable():
            if default_storage.exists(name):
                return False
            default_storage.save(name, ContentFile(raw))
            return True
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("The disk is full. Free some space, then upload again.") from error
        raise


def is_missing(sha256: str) -> bool:
    """Whether this machine's disk has no such file. Only where files lie there."""
    storage = storages["default"]
    return isinstance(storage, DurableStorage) and storage.lacks(name_of(sha256))


def ensure_all(raws: Mapping[str, bytes]) -> None:
    """`ensure` for several at once: in a bucket each asks over the network. Raises what `ensure` raises."""
    if is_local() or len(raws) < 2:
        for sha256, raw in raws.items():
            ensure(sha256, raw)
    else:
        list(_askers.map(ensure, raws.keys(), raws.values()))


def read(sha256: str) -> bytes:
    """The stored bytes. Raises FileNotFoundError or StorageUnavailable."""
    with reachable(), default_storage.open(name_of(sha256)) as file:
        return bytes(file.read())


def read_once(sha256: str) -> bytes:
    """The same for whoever is likely the only reader for now: the system need not keep them in memory."""
    storage = storages["default"]
    return storage.read_once(name_of(sha256)) if isinstance(storage, DurableStorage) else read(sha256)


@reachable()
def remove(sha256: str) -> None:
    """Raises StorageUnavailable."""
    default_storage.delete(name_of(sha256))
