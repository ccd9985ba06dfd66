"""One look at each photo's bytes and pixels: all that duplicates, quality and the report are told from."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageStat
from tqdm import tqdm

from classifier_core.datasets.folder import Photo
from classifier_core.errors import ClassifierError, ImageRefused
from classifier_core.images import DEFAULT_LIMITS, ImageLimits, decode, read_header

Floats = npt.NDArray[np.float32]
Signs = npt.NDArray[np.int8]
T = TypeVar("T")

SHORTER_SIDE = 256  # pixels; photos are looked at in this size, so that sharpness does not depend on the camera
GREY_SIDE = 32  # pixels
HASH_SIDE = 16  # frequencies a side, so 256 bits
_SOME = 1024  # photos
# What the refusal of an upload says without "send another one": these files lie in a folder.
_IN_A_FOLDER = {"empty": "The file is empty.", "unsupported_format": "This is not an image we can read."}


@dataclass(frozen=True)
class Look:
    """What one photo is. When it cannot be read, `problem` says why and the rest is 0 or None."""

    sha256: str
    num_bytes: int
    width: int = 0  # pixels, upright
    height: int = 0
    sharpness: float = 0.0  # variance of the Laplacian of grey values 0-255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of red, green and blue, 0-1
    mean_square: tuple[float, float, float] = (0.0, 0.0, 0.0)
    grey: npt.NDArray[np.uint8] | None = None  # [32, 32], squeezed
    problem: str = ""

    @property
    def shorter_side(self) -> int:
        """Pixels; 0 for a photo that cannot be read."""
        return min(self.width, self.height)

    @property
    def aspect(self) -> float:
        """Longer side by shorter side; 1 for a square, 0 for a photo that cannot be read."""
        return max(self.width, self.height) / self.shorter_side if self.shorter_side else 0.0


def look_at(photos: Sequence[Photo]) -> list[Look]:
    """One look per photo, decoded on all cores, with a progress bar when it takes longer than two seconds.

    A file that cannot be read is a look with a problem, never an error.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        looks = threads.map(_look, photos)
        return list(in_progress(looks, "Looking at photos", total=len(photos)))


def in_progress(items: Iterable[T], words: str, *, total: int | None = None) -> Iterator[T]:
    """The items, with a bar on a terminal once they take longer than two seconds."""
    yield from tqdm(items, desc=words, total=total, delay=2, disable=None, leave=False)


def hashes_of(looks: Sequence[Look]) -> Signs:
    """Perceptual hashes of readable photos as -1 and 1, int8 [N, 8, 256]: one for each turn and mirror image.

    The low frequencies of a 32 x 32 grey picture against their median ("pHash", Zauner 2010, Implementation and
    Benchmarking of Perceptual Image Hash Functions, section 3.2.1), with 16 x 16 frequencies where that takes 8 x 8.
    """
    greys = [look.grey for look in looks if look.grey is not None]
    # Some at a time: turned and as floats, a photo takes 32 times what it takes in the end.
    return np.concatenate([_hashes(greys[start : start + _SOME]) for start in range(0, len(greys), _SOME)])


def _hashes(greys: Sequence[npt.NDArray[np.uint8]]) -> Signs:
    cosines = _cosines()
    frequencies = (cosines @ np.stack([turned(grey) for grey in greys]) @ cosines.T).reshape(len(greys), 8, -1)
    medians = np.median(frequencies[:, :, 1:], axis=2, keepdims=True)  # the first is the brightness
    return np.where(frequencies > medians, 1, -1).astype(np.int8)


def turned(grey: npt.NDArray[np.uint8]) -> Floats:
    """A square grey picture in its eight orientations, float32 [8, side, side]."""
    turns = [np.rot90(grey, quarter) for quarter in range(4)]
    return np.stack(turns + [np.fliplr(turn) for turn in turns]).astype(np.float32)


def _look(photo: Photo) -> Look:
    try:
        raw = photo.path.read_bytes()
    except OSError as error:
        return Look("", 0, problem=f"The file cannot be opened: {error.strerror or error}.")
    return look_at_bytes(raw)


def look_at_bytes(raw: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Look:
    """The look of one file's content. What cannot be read is a look with a problem, never an error."""
    sha256 = hashlib.sha256(raw).hexdigest()
    try:
        header = read_header(raw, limits)
        image = decode(raw, shorter_side=SHORTER_SIDE, limits=limits)
    except ClassifierError as error:
        return Look(sha256, len(raw), problem=_in_words(error))
    except MemoryError:
        return Look(sha256, len(raw), problem="This machine has too little memory for the picture.")
    return _measured(_shrunk(image), sha256, len(raw), (header.width, header.height))


def _in_words(error: ClassifierError) -> str:
    code = error.code if isinstance(error, ImageRefused) else ""
    return _IN_A_FOLDER.get(code, str(error))


def _shrunk(image: Image.Image) -> Image.Image:
    scale = SHORTER_SIDE / min(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)


def _measured(image: Image.Image, sha256: str, num_bytes: int, size: tuple[int, int]) -> Look:
    colours, grey = ImageStat.Stat(image), image.convert("L")
    red, green, blue = (value / 255 for value in colours.mean)
    red2, green2, blue2 = (value / total / 255**2 for value, total in zip(colours.sum2, colours.count, strict=True))
    return Look(
        sha256,
        num_bytes,
        *size,
        sharpness=_sharpness(np.asarray(grey)),
        mean=(red, green, blue),
        mean_square=(red2, green2, blue2),
        grey=np.asarray(grey.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)),
    )


def _sharpness(grey: npt.NDArray[np.uint8]) -> float:
    """Variance of the Laplacian (Pech-Pacheco 2000, Diatom autofocusing in brightfield microscopy)."""
    if min(grey.shape) < 3:
        return 0.0
    g = grey.astype(np.float32)
    laplacian = g[:-2, 1:-1] + g[2:, 1:-1] + g[1:-1, :-2] + g[1:-1, 2:] - 4 * g[1:-1, 1:-1]
    return float(laplacian.var())


@cache
def _cosines() -> Floats:
    """The first rows of the discrete cosine transform (type II), float32 [16, 32]."""
    frequency, place = np.arange(HASH_SIDE)[:, None], np.arange(GREY_SIDE)[None]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * GREY_SIDE)).astype(np.float32)
