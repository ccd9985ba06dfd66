"""Files that are whole or absent, also after a power cut. Standard library only."""

import json
import os
from collections.abc import Iterable
from pathlib import Path


def replace(path: str | Path, chunks: Iterable[bytes], *, mode: int = 0o644) -> None:
    """Write a file in place of what is there: temporary sibling, fsync, rename, fsync of the folder.

    Raises OSError; then the old file is still whole, or the new one is there but may not survive a power cut. Only a
    killed process leaves its `.part` file behind.
    """
    # Texts, not paths: every upload comes through here.
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}.part")  # noqa: PTH118
    try:
        write(temporary, chunks, mode=mode)
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(folder or ".")


def as_json(content: object) -> bytes:
    """A file's bytes that people read and programs parse."""
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def write(path: str | Path, chunks: Iterable[bytes], *, mode: int = 0o644) -> None:
    """Write a new file and wait until its bytes are on disk. Raises OSError, also when it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        for chunk in chunks:
            _write_all(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(descriptor, left) :]


def sync(path: str | Path) -> None:
    """Make a folder's entries, or a file's bytes, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file below the folder durable, and the folders with them."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)
