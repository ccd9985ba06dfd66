"""Artifact folders by content hash: a local copy to run from, and the shared storage that workers fetch it from."""

import contextlib
import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage

from classifier_core import durable
from classifier_core.artifact import Artifact, load_artifact
from classifier_core.errors import ArtifactInvalid
from recognizer.storage import is_local, reachable


def folder_of(sha256: str) -> Path:
    """Where the local copy lies."""
    return Path(settings.RECOGNIZER_ARTIFACT_DIR) / sha256


def fetch(sha256: str) -> Artifact:
    """The artifact, checked, from the local copy or else from storage.

    Raises ArtifactInvalid, or StorageUnavailable.
    """
    folder = folder_of(sha256)
    if not folder.exists() and not is_local():
        _download(sha256, folder)
    return load_artifact(folder, sha256=sha256)


@reachable()
def publish(sha256: str) -> None:
    """Put the local copy where every worker finds it. Raises StorageUnavailable."""
    if is_local():
        return
    folder = folder_of(sha256)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            default_storage.save(f"artifacts/{sha256}/{path.relative_to(folder)}", File(file))


@reachable()
def remove(sha256: str) -> None:
    """Take it from here and from the storage. Removing twice is harmless. Raises StorageUnavailable."""
    shutil.rmtree(folder_of(sha256), ignore_errors=True)
    if not is_local():
        _remove_level(f"artifacts/{sha256}")


def _remove_level(name: str) -> None:
    names, files = default_storage.listdir(name)
    for file in files:
        default_storage.delete(f"{name}/{file}")
    for child in names:
        _remove_level(f"{name}/{child}")


def _download(sha256: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        with reachable():
            _download_level(f"artifacts/{sha256}", scratch)
        move_in(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def move_in(scratch: Path, folder: Path) -> None:
    """Give a finished folder its name, durably. When somebody else was first, theirs, the same bytes, stays."""
    scratch.chmod(0o755)  # mkdtemp's 0700 would hide it from a worker that runs as another user
    durable.sync_tree(scratch)
    with contextlib.suppress(OSError):
        scratch.rename(folder)
    if not folder.is_dir():
        raise ArtifactInvalid(f"{folder} cannot be written. Check the data folder, then import again.")
    durable.sync(folder.parent)


def _download_level(name: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    names, files = default_storage.listdir(name)
    for file in files:
        with default_storage.open(f"{name}/{file}") as source, (folder / file).open("wb") as target:
            shutil.copyfileobj(source, target)
    for child in names:
        _download_level(f"{name}/{child}", folder / child)
