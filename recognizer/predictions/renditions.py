"""Pixels that may leave the server: decoded, scaled and encoded anew, so that no metadata and no payload survives."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image

from classifier_core.images import decode
from recognizer.predictions import blobs
from recognizer.predictions.models import Blob
from recognizer.storage import reachable

BUSY = "Too many pictures are being drawn at the moment. Ask again in a few seconds."
LONGER_SIDE = {"image": 1600, "thumbnail": 320}  # pixels
# One decode of 40 million pixels takes 120 MB and more; two at a time keep the web process small.
_decoding = threading.BoundedSemaphore(2)
TURN_SECONDS = 2.0  # how long a request waits for one of the two
# At most a quarter of the threads waits for pictures, so that uploads and answers find threads beside them.
_waiting = threading.BoundedSemaphore(max(1, settings.RECOGNIZER_WEB_THREADS // 4))


class TooManyPictures(RuntimeError):
    """More pictures are asked for at once than are drawn."""


def name_of(sha256: str, kind: str) -> str:
    return f"renditions/{sha256[:2]}/{sha256}.{kind}.jpg"


@reachable()
def rendition(sha256: str, kind: str) -> bytes:
    """The picture as JPEG, made on first view.

    Raises ImageUndecodable, FileNotFoundError, TooManyPictures or StorageUnavailable.
    """
    name = name_of(sha256, kind)
    if not default_storage.exists(name):
        with _turn():
            # While we waited, another request may have drawn it.
            return _stored(name) if default_storage.exists(name) else _draw(sha256, kind)
    return _stored(name)


@contextmanager
def _turn() -> Iterator[None]:
    """One of the decodes. Raises TooManyPictures."""
    if not _waiting.acquire(blocking=False):
        raise TooManyPictures(BUSY)
    try:
        has_turn = _decoding.acquire(timeout=TURN_SECONDS)
    finally:
        _waiting.release()
    if not has_turn:
        raise TooManyPictures(BUSY)
    try:
        yield
    finally:
        _decoding.release()


def _stored(name: str) -> bytes:
    with default_storage.open(name) as file:
        return bytes(file.read())


def _draw(sha256: str, kind: str) -> bytes:
    try:
        picture = _render(blobs.read(sha256), LONGER_SIDE[kind])
    except MemoryError as error:
        raise TooManyPictures(BUSY) from error
    try:
        with reachable():
            default_storage.save(name_of(sha256, kind), ContentFile(picture))
    except OSError:  # a full disk: then it is drawn again next time
        return picture
    if not Blob.objects.filter(pk=sha256).exists():  # erased while we drew
        remove(sha256)
    return picture


@reachable()
def remove(sha256: str) -> None:
    """Raises StorageUnavailable."""
    for kind in LONGER_SIDE:
        default_storage.delete(name_of(sha256, kind))


def _render(raw: bytes, longer_side: int) -> bytes:
    image = decode(raw, shorter_side=longer_side, limits=blobs.limits())
    image.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS)
    image.info.clear()  # else Pillow writes the original's comment into the new file
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()
