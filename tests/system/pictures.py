"""Photos that come with an installed package, and small pictures of which no two are alike."""

import io
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


def large_picture(number: int) -> bytes:
    """A PNG of one colour and 20 megapixels: small on its way, 60 MB in memory, some tenths of a second to decode."""
    colour = (number % 256, number // 256 % 256, number // 65536 % 256)
    buffer = io.BytesIO()
    Image.new("RGB", (5000, 4000), colour).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
