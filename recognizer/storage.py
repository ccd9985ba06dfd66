"""File storage: on local disk, so that it survives a power cut; what may go wrong with a bucket."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, storages


class StorageUnavailable(OSError):
    """The bucket does not answer, or refuses us."""


@contextmanager
def reachable() -> Iterator[None]:
    """Turn the errors of the bucket's client, which are of no common kind, into StorageUnavailable."""
    try:
        yield
    except _bucket_errors() as error:
        raise StorageUnavailable("The image store does not answer. Try again in a moment.") from error


def is_local() -> bool:
    """Whether the files lie on this machine's disk."""
    return isinstance(storages["default"], FileSystemStorage)


def _bucket_errors() -> tuple[type[Exception], ...]:
    if is_local():
        return ()
    from botocore.exceptions import BotoCoreError, ClientError  # the embedded default does without

    return BotoCoreError, ClientError


class DurableStorage(FileSystemStorage):
    """Files that are whole or absent: temporary file, fsync, rename, fsync of the folder.

    A name that exists is replaced. Ours are content hashes, so it is replaced by the same bytes.
    """

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name

    def _save(self, name: str, content: File[bytes]) -> str:
        path = Path(self.path(name))
        _make_folders(path.parent)
        temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
        try:
            _write(temporary, content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
        return name


def _write(path: Path, content: File[bytes]) -> None:
    with path.open("xb") as file:
        for chunk in content.chunks():
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _make_folders(folder: Path) -> None:
    """Create the folder and make each new entry durable in its parent."""
    if folder.exists():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file below the folder durable, and the folders with them."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync_folder(path)  # an fsync is the same call for a file
    sync_folder(folder)
