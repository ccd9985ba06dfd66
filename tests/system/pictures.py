"""Photos that come with an installed package, and small pictures of which no two are alike."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

CATS = {"tabby", "tiger_cat", "persian_cat", "siamese_cat", "egyptian_cat", "lynx"}
COFFEE = {"espresso", "cup"}


def photo(name: str) -> bytes:
    """A photo of scikit-image, from the files of its wheel."""
    return (Path(skimage.data.__file__).parent / name).read_bytes()


def small_picture(number: int, *, side: int = 64) -> bytes:
    """A PNG of noise; the number decides every pixel."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def phone_picture(number: int) -> bytes:
    """A PNG of 12 megapixels, small on its way: most of a tenth of a second to decode."""
    return _plain("RGB", 4000, 3000) + number.to_bytes(8, "big")  # behind the end of the picture


def large_picture(number: int) -> bytes:
    """A PNG of 39 megapixels, almost the most that is taken: 156 MB in memory."""
    return _plain("RGBA", 7500, 5200) + number.to_bytes(8, "big")


@cache
def _plain(mode: str, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), "orange").save(buffer, "PNG")
    return buffer.getvalue()
