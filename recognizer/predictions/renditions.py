"""Pixels that may leave the server: decoded, scaled and encoded anew, so that no metadata and no payload survives."""

import io
import threading

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image

from classifier_core.images import decode
from recognizer.predictions import blobs
from recognizer.predictions.models import Blob

LONGER_SIDE = {"image": 1600, "thumbnail": 320}  # pixels
# One decode of 40 million pixels takes 120 MB and more; two at a time keep the web process small.
_decoding = threading.BoundedSemaphore(2)


def name_of(sha256: str, kind: str) -> str:
    return f"renditions/{sha256[:2]}/{sha256}.{kind}.jpg"


def rendition(sha256: str, kind: str) -> bytes:
    """The picture as JPEG, made on first view. Raises ImageUndecodable or FileNotFoundError."""
    name = name_of(sha256, kind)
    if not default_storage.exists(name):
        with _decoding:
            picture = _render(blobs.read(sha256), LONGER_SIDE[kind])
        try:
            default_storage.save(name, ContentFile(picture))
        except OSError:  # a full disk: then it is drawn again next time
            return picture
        if not Blob.objects.filter(pk=sha256).exists():  # erased while we drew
            remove(sha256)
    with default_storage.open(name) as file:
        return bytes(file.read())


def remove(sha256: str) -> None:
    for kind in LONGER_SIDE:
        default_storage.delete(name_of(sha256, kind))


def _render(raw: bytes, longer_side: int) -> bytes:
    image = decode(raw, shorter_side=longer_side, limits=blobs.limits())
    image.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS)
    image.info.clear()  # else Pillow writes the original's comment into the new file
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()
