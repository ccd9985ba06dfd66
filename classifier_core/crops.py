"""Real photos without a data set: random crops of the two that scikit-learn ships."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from classifier_core.errors import ClassifierError
from classifier_core.images import decode
from classifier_core.preprocessing import Pixels, Preprocessing


def sample_crops(preprocessing: Preprocessing, count: int, *, seed: int = 0) -> list[Pixels]:
    """`count` prepared crops, the same ones for the same seed. Raises ClassifierError without scikit-learn."""
    random = np.random.default_rng(seed)
    photos = _photos()
    return [preprocessing.apply(_crop(photos[number % len(photos)], random)) for number in range(count)]


def corner_crops(photo: Image.Image) -> list[Image.Image]:
    """The whole photo and two views of it, each 85 % of its sides: the same subject at another place and scale."""
    width, height = photo.size
    right, low = round(0.85 * width), round(0.85 * height)
    return [photo, photo.crop((0, 0, right, low)), photo.crop((width - right, height - low, width, height))]


def _crop(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    side = int(random.integers(min(photo.size) * 2 // 5, min(photo.size)))
    left, top = (int(random.integers(0, length - side + 1)) for length in photo.size)
    return photo.crop((left, top, left + side, top + side))


@cache
def _photos() -> tuple[Image.Image, ...]:
    # Found without importing scikit-learn, which takes a second.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ClassifierError("scikit-learn is not installed; its two photos are what engines are compared on.")
    folder = Path(package.origin).parent / "datasets" / "images"
    return tuple(decode((folder / name).read_bytes()) for name in ("china.jpg", "flower.jpg"))
