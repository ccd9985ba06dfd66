"""One look at each photo, kept with its bytes: what tells copies, and what shows the same thing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Model

from classifier_core.artifact import Artifact
from classifier_core.datasets.duplicates import is_comparable
from classifier_core.datasets.features import Eye
from classifier_core.datasets.looks import GREY_SIDE, Floats, Look, look_at_bytes
from classifier_core.errors import ClassifierError
from recognizer.predictions import blobs
from recognizer.predictions.models import Blob
from recognizer.training.alike import looking_artifact
from recognizer.training.models import PhotoLook

BATCH = 64  # photos; their bytes are in memory together
READERS = 8  # from a bucket each photo is a request over the network
Progress = Callable[[str], None]


class Looking:
    """Looks at photos that were not looked at yet, with a network where `features` are asked for."""

    def __init__(self, *, features: bool) -> None:
        self._wants_features = features

    @cached_property
    def _artifact(self) -> Artifact:
        return looking_artifact()

    @cached_property
    def _eye(self) -> Eye:
        return Eye(self._artifact)

    @property
    def looked_by(self) -> str:
        """Whose features are compared; those of another network are computed anew."""
        return self._artifact.sha256 if self._wants_features else ""

    def look_at(self, photos: Sequence[str], progress: Progress) -> set[str]:
        """Store a look for each of these blobs that has none. Gives those whose bytes are gone.

        Raises ClassifierError when the network does not load, StorageUnavailable.
        """
        waiting = self._waiting(photos)
        gone: set[str] = set()
        for start in range(0, len(waiting), BATCH):
            progress(f"Looking at photos: {start} of {len(waiting)}")
            raws = dict(_read(waiting[start : start + BATCH]))
            gone |= {sha256 for sha256, raw in raws.items() if raw is None}
            self._store({sha256: raw for sha256, raw in raws.items() if raw is not None})
        return gone

    def _waiting(self, photos: Sequence[str]) -> list[str]:
        done = PhotoLook.objects.exclude(sharpness=None)
        if self._wants_features:
            done = done.filter(looked_by=self.looked_by)
        known = set(done.values_list("pk", flat=True))
        return [sha256 for sha256 in photos if sha256 not in known]

    def _store(self, raws: dict[str, bytes]) -> None:
        with ThreadPoolExecutor() as threads:
            looks = dict(zip(raws, threads.map(look_at_bytes, raws.values()), strict=True))
        comparable = [sha256 for sha256, look in looks.items() if self._wants_features and is_comparable(look)]
        features = dict(zip(comparable, self._features([raws[sha256] for sha256 in comparable]), strict=True))
        rows = [self._row(sha256, look, features.get(sha256)) for sha256, look in looks.items()]
        fields = ["problem", "shorter_side", "sharpness", "grey", "features", "looked_by"]
        with transaction.atomic():
            alive = lock_alive(Blob, raws)
            PhotoLook.objects.bulk_create(
                (row for row in rows if row.pk in alive),
                update_conflicts=True,
                unique_fields=["blob"],
                update_fields=fields,
            )

    def _features(self, raws: list[bytes]) -> list[Floats | None]:
        """None for a picture that the network cannot take."""
        if not raws:
            return []
        try:
            return list(self._eye.features(raws))
        except ClassifierError:
            if len(raws) == 1:
                return [None]
            return [found for raw in raws for found in self._features([raw])]

    def _row(self, sha256: str, look: Look, features: Floats | None) -> PhotoLook:
        return PhotoLook(
            blob_id=sha256,
            problem=look.problem[:300],
            shorter_side=look.shorter_side,
            sharpness=look.sharpness,
            grey=None if look.grey is None else look.grey.tobytes(),
            features=None if features is None else features.astype(np.float16).tobytes(),
            looked_by=self.looked_by,
        )


def _read(photos: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    with ThreadPoolExecutor(READERS) as threads:
        yield from zip(photos, threads.map(_read_one, photos), strict=True)


def _read_one(sha256: str) -> bytes | None:
    try:
        return blobs.read(sha256)
    except FileNotFoundError:
        return None


def lock_alive(kind: type[Model], keys: Iterable[Any]) -> set[Any]:
    """Those keys whose rows are there. They stay until the transaction ends."""
    rows = kind._default_manager.filter(pk__in=list(keys))
    return set(rows.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))


def load_looks(photos: Sequence[str]) -> dict[str, tuple[Look, Floats | None]]:
    """The stored looks of those that have one, in this order, with the features."""
    wanted = set(photos)
    columns = ("pk", "problem", "shorter_side", "sharpness", "grey", "features")
    rows = PhotoLook.objects.values_list(*columns).iterator()
    found = {sha256: _look(sha256, *rest) for sha256, *rest in rows if sha256 in wanted}
    return {sha256: found[sha256] for sha256 in photos if sha256 in found}


def _look(sha256: str, problem: Any, side: Any, sharpness: Any, grey: Any, features: Any) -> tuple[Look, Floats | None]:
    pixels = None if grey is None else np.frombuffer(grey, np.uint8).reshape(GREY_SIDE, GREY_SIDE)
    seen = None if features is None else np.frombuffer(features, np.float16).astype(np.float32)
    return Look(sha256, 0, side, side, sharpness or 0.0, grey=pixels, problem=problem), seen
