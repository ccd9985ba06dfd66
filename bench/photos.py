"""Photos to send: smooth blobs with noise, which compress about as well as what a camera takes."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

# Width and height in pixels: what a web page shows, and what a phone takes (12 megapixels).
SIZES = {"500x375": (500, 375), "4032x3024": (4032, 3024)}
BLOB_PIXELS = 8
NOISE = 8  # standard deviation, of 255
JPEG_QUALITY = 88


def write_photo(folder: Path, size: str) -> Path:
    """A JPEG of one of the SIZES, the same bytes at every call."""
    path = folder / f"{size}.jpg"
    path.write_bytes(_jpeg(*SIZES[size]))
    return path


def _jpeg(width: int, height: int) -> bytes:
    random = np.random.default_rng(0)
    blobs = random.integers(0, 255, (height // BLOB_PIXELS, width // BLOB_PIXELS, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth + random.normal(0, NOISE, smooth.shape)
    file = BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
