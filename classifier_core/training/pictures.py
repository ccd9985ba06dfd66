"""Decoded photos, kept in memory so that the next epoch does not decode them again."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from classifier_core.datasets.folder import Dataset
from classifier_core.errors import ImageRefused, ImageUndecodable
from classifier_core.images import decode
from classifier_core.preprocessing import Pixels, Preprocessing
from classifier_core.training.watching import UNWATCHED, Watch

Prepare = Callable[[bytes], Pixels]
WORKING_SCALE = 1.25  # of the network's input: room for random crops
_MAX_ASPECT = 2.0  # of a working copy; longer pictures lose their ends


@dataclass(frozen=True)
class Unreadable:
    """A photo that is left out, and why."""

    path: Path
    reason: str


class Pictures:
    """Prepared photos by number. Those beyond `max_bytes` are decoded each time they are asked for."""

    def __init__(self, paths: Sequence[Path], prepare: Prepare, *, max_bytes: int) -> None:
        self._paths, self._prepare, self._max_bytes = list(paths), prepare, max_bytes
        self._kept: list[Pixels | None] = [None] * len(self._paths)
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        """uint8 [channels, height, width]. Raises what `decode` raises, and OSError."""
        pixels = self._kept[number]
        if pixels is None:
            pixels = self._load(number)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def take(self, numbers: Sequence[int]) -> list[torch.Tensor]:
        """Several of them; those that are not in memory are decoded side by side."""
        if all(self._kept[number] is not None for number in numbers):
            return [self[number] for number in numbers]
        with ThreadPoolExecutor(_num_threads()) as threads:
            return list(threads.map(self.__getitem__, numbers))

    def fill(self, *, words: str = "", watch: Watch = UNWATCHED) -> list[Unreadable]:
        """Decode every photo once, on all cores, and keep what fits. Gives those that cannot be read."""
        unreadable, total = [], len(self._paths)
        with ThreadPoolExecutor(_num_threads()) as threads, watch.count(words, total, unit="photo") as count:
            attempts = threads.map(self._attempt, range(total))
            with closing(attempts):  # type: ignore[type-var]  # stopped by the watch, it decodes no further
                for number, attempt in enumerate(attempts):
                    if (bad := self._keep(number, attempt)) is not None:
                        unreadable.append(bad)
                    count.add()
        return unreadable

    def without(self, paths: set[Path]) -> "Pictures":
        """The same, less these photos."""
        rest = Pictures([], self._prepare, max_bytes=self._max_bytes)
        rest._paths = [path for path in self._paths if path not in paths]
        rest._kept = [kept for path, kept in zip(self._paths, self._kept, strict=True) if path not in paths]
        rest.num_bytes = self.num_bytes
        return rest

    def _load(self, number: int) -> Pixels:
        return np.array(self._prepare(self._paths[number].read_bytes()))  # writable, as torch wants it

    def _attempt(self, number: int) -> Pixels | Unreadable:
        try:
            return self._load(number)
        except (ImageRefused, ImageUndecodable, OSError, MemoryError) as error:
            return Unreadable(self._paths[number], str(error) or type(error).__name__)

    def _keep(self, number: int, attempt: Pixels | Unreadable) -> Unreadable | None:
        if isinstance(attempt, Unreadable):
            return attempt
        if self.num_bytes + attempt.nbytes <= self._max_bytes:
            self._kept[number] = attempt
            self.num_bytes += attempt.nbytes
        return None


def read_pictures(
    dataset: Dataset,
    prepare: Prepare,
    *,
    max_bytes: int,
    more: Sequence[Path] = (),
    words: str = "",
    watch: Watch = UNWATCHED,
) -> tuple[Dataset, Pictures, list[Unreadable]]:
    """The photos that can be read, in memory as far as they fit, and those that cannot.

    The pictures are numbered as the data set's photos; behind them come those of `more`.
    """
    paths = [photo.path for photo in dataset.photos] + list(more)
    pictures = Pictures(paths, prepare, max_bytes=max_bytes)
    unreadable = pictures.fill(words=words, watch=watch)
    if not unreadable:
        return dataset, pictures, []
    bad = {one.path for one in unreadable}
    return dataset.only(photo for photo in dataset.photos if photo.path not in bad), pictures.without(bad), unreadable


def _num_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def working_copies(preprocessing: Preprocessing) -> Prepare:
    """What random crops are cut from: the photo at 1.25 times the network's size, letterboxed where that is asked."""
    side = round(WORKING_SCALE * preprocessing.crop_size)
    if preprocessing.method == "letterbox":
        return replace(preprocessing, crop_size=side).load
    return lambda raw: _as_channels(_shrink(decode(raw, shorter_side=side), side), preprocessing.channels)


def _shrink(image: Image.Image, side: int) -> Image.Image:
    """The shorter side at most `side` pixels; a small picture stays as it is."""
    width, height = image.size
    longest = min(width, height) * _MAX_ASPECT
    left, top = max(0.0, (width - longest) / 2), max(0.0, (height - longest) / 2)
    box = (left, top, width - left, height - top)
    scale = min(1.0, side / min(width, height))
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, box=box)


def _as_channels(image: Image.Image, channels: int) -> Pixels:
    return np.asarray(image.convert("L"))[:, :, None] if channels == 1 else np.asarray(image)
