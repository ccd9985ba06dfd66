"""Hostile, broken and odd files, made here: what every checkout sends, with or without a folder of real ones."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

from tests.core.heic_files import GRADIENT, large_picture, many_pictures, size_of
from tests.system.pictures import small_picture

# What is refused before anything is stored. The names lie, as names do.
REFUSED = {
    "nothing.jpg": "empty",
    "page.png": "unsupported-format",
    "program.jpg": "unsupported-format",
    "bomb.png": "too-many-pixels",
    "long.png": "side-too-long",
    "bare-start.jpg": "unreadable-header",
    "endless-passes.jpg": "unreadable-header",
    "huge.heic": "too-many-pixels",
    "pieces.heic": "unreadable-header",
}


def refused_files() -> dict[str, bytes]:
    """Each file of REFUSED."""
    return {
        "nothing.jpg": b"",
        "page.png": b"<!doctype html><script>alert(1)</script>",
        "program.jpg": b"MZ" + bytes(500),
        "bomb.png": png_of(19_000, 19_000),
        "long.png": png_of(20_001, 1),
        "bare-start.jpg": b"\xff\xd8\xff",
        "endless-passes.jpg": endless_passes(),
        "huge.heic": GRADIENT.replace(size_of(29, 100), size_of(6000, 6000)),
        "pieces.heic": GRADIENT[:24] + b"\0\0\0\x08free" * 100_000,
    }


def odd_files() -> dict[str, bytes]:
    """Files whose header is fine: an answer, or a reason why the pixels cannot be read."""
    picture = Image.open(BytesIO(small_picture(70_000))).convert("RGB")
    noise = np.random.default_rng(1).integers(0, 65_536, (300, 400), dtype=np.uint16)
    return {
        "cut-off.png": small_picture(70_001)[:5_000],
        "cut-off.heic": GRADIENT[:2_500],
        "no-pixels-behind-it.png": png_of(6_000, 6_000),
        "archive-behind-it.png": small_picture(70_002) + b"PK\x03\x04" + bytes(10_000),
        "script-in-it.gif": encoded(picture, "GIF", comment=b"*/=1;alert(1);//"),
        "many-pictures.heic": many_pictures(200, 4_000_000),
        "one-of-two.heic": large_picture(2, 1),
        "a-png.jpg": small_picture(70_003),
        "sixteen-bit.png": encoded(Image.fromarray(noise), "PNG"),
        "printer-colours.jpg": encoded(picture.convert("CMYK"), "JPEG"),
        "moving.webp": encoded(picture, "WEBP", save_all=True, append_images=[picture.rotate(90)] * 20),
        "one-pixel.bmp": encoded(picture.resize((1, 1)), "BMP"),
    }


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG of that size, as far as its header goes; hardly any pixels follow."""
    parts = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(100)))
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def endless_passes() -> bytes:
    """10 KB of passes over the same 36 megapixels, each of which decoders draw anew."""
    raw = encoded(Image.new("L", (6_000, 6_000), 128), "JPEG", progressive=True)
    last = raw.rindex(b"\xff\xda")
    return raw[:last] + raw[last:-2] * 200 + raw[-2:]
