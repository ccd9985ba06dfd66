"""Near-duplicates among stored pictures: found after the answer, while nothing waits, and kept as a group's number.

The desk shows a group as one tile, and a data set takes one picture of it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef

from classifier_core.datasets.duplicates import find_near
from classifier_core.datasets.looks import GREY_SIDE, HASH_SIDE, hashes_of, look_at_bytes
from classifier_core.datasets.looks import Look as Seen
from recognizer.predictions import blobs
from recognizer.predictions.models import Blob, Look, Prediction
from recognizer.storage import StorageUnavailable

log = structlog.get_logger(__name__)

COMPARED = 5_000  # newest pictures a new one is compared with: near-duplicates come close together
AT_ONCE = 200  # read from the database in one go


def look_at_new(*, until: float, is_busy: Callable[[], bool]) -> int:
    """Look at answered pictures, newest first, until time.monotonic() passes `until` or something waits.

    Returns how many. Two at once are harmless.
    """
    if is_busy():  # asked first: what is to be looked at is found in milliseconds that somebody would wait for
        return 0
    known, number = Known(), 0
    for blob in _waiting():
        if time.monotonic() > until or is_busy():
            break
        try:
            _look_at(blob, known)
        except StorageUnavailable:
            log.exception("stored images cannot be read now, looked at later")
            break
        number += 1
    return number


def _waiting() -> Iterator[Blob]:
    # Only an answer proves that a worker has decoded the picture and lived.
    answered = Prediction.objects.in_status(Prediction.Status.SUCCEEDED, is_keyed=True)
    answered = answered.filter(image__blob=OuterRef("pk"))
    rows = Blob.objects.filter(Exists(answered), look_group=None)
    yield from rows.order_by("-created_at")[:AT_ONCE]


def _look_at(blob: Blob, known: "Known") -> None:
    try:
        seen = look_at_bytes(blobs.read(blob.pk), blobs.limits())
    except FileNotFoundError:
        seen = Seen(blob.pk, 0, problem="The stored image is not there any more.")
    look = Look(blob=blob, bits=_bits(seen), grey=None if seen.grey is None else seen.grey.tobytes())
    group = known.group_of(seen)
    with transaction.atomic():
        # Taken while we write: not erased, and nobody else has looked meanwhile.
        if not Blob.objects.select_for_update().filter(pk=blob.pk, look_group=None).values_list("pk"):
            return
        look.save()
        group = look.pk if group is None else group
        Blob.objects.filter(pk=blob.pk).update(look_group=group)
    known.add(look, seen, group)


def _bits(seen: Seen) -> bytes | None:
    return None if seen.grey is None else np.packbits(hashes_of([seen])[0, 0] > 0).tobytes()


class Known:
    """The newest looks, to find near-duplicates among. Only the hashes are held; a grey picture is read when asked."""

    def __init__(self) -> None:
        newest = Look.objects.exclude(bits=None).exclude(blob__look_group=None).order_by("-pk")
        columns = ("bits", "pk", "blob__look_group", "blob__width", "blob__height")
        rows: list[tuple[Any, ...]] = list(newest.values_list(*columns)[:COMPARED])
        self._rows = [(pk, group, width, height) for _, pk, group, width, height in rows]
        packed = np.frombuffer(b"".join(bytes(bits) for bits, *_ in rows), np.uint8).reshape(-1, HASH_SIDE**2 // 8)
        self._hashes = _unpacked(packed)

    def group_of(self, seen: Seen) -> int | None:
        """The group of what shows the same, None for something new."""
        position = find_near(seen, _Others(self._rows), self._hashes)
        return None if position is None else self._rows[position][1]

    def add(self, look: Look, seen: Seen, group: int) -> None:
        if look.bits is not None:
            self._rows.append((look.pk, group, seen.width, seen.height))
            packed = np.frombuffer(look.bits, np.uint8)[None]
            self._hashes = np.concatenate([self._hashes, _unpacked(packed)])


class _Others(Sequence[Seen]):
    """Stored looks by position, each read when it is asked for."""

    def __init__(self, rows: list[tuple[int, int, int, int]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> Seen:  # type: ignore[override]  # no slices here
        pk, _, width, height = self._rows[position]
        stored: Any = Look.objects.filter(pk=pk).values_list("blob", "grey").first()
        if stored is None:  # erased meanwhile
            return Seen("", 0)
        grey = np.frombuffer(bytes(stored[1]), np.uint8).reshape(GREY_SIDE, GREY_SIDE)
        return Seen(stored[0], 0, width, height, grey=grey)


def _unpacked(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1
