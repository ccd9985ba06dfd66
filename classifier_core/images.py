"""From bytes somebody sent to an upright RGB picture, or to a sentence that says why not."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from classifier_core.errors import ImageRefused, ImageUndecodable
from classifier_core.image_headers import HeaderError, ImageFormat, RawHeader, detect_format, parse_header, primary_heic


@dataclass(frozen=True)
class ImageLimits:
    """How large an upload may be. Pixels are counted from the header, before anything is decoded."""

    max_bytes: int = 25_000_000
    max_pixels: int = 40_000_000
    max_side_pixels: int = 20_000
    # One core decodes 0.1 to 0.2 s per megapixel of HEIC, so this many in 5 s; AVIF and JPEG take less for 40.
    max_heic_pixels: int = 25_000_000


@dataclass(frozen=True)
class ImageHeader:
    """What an image is, before it is decoded."""

    format: ImageFormat
    width: int  # pixels, as people see the picture (orientation applied)
    height: int


DEFAULT_LIMITS = ImageLimits()

STRIP_PIXELS = 2_000_000  # of a 16-bit picture converted at a time, in copies of 4 bytes a pixel

# The one plugin per format, and not Image.open: that would also try MPO, and warn about damaged ones.
_OPENERS: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "AVIF": AvifImageFile,
}

# What Pillow's and libheif's readers raise on damaged files, found with damaged files; there is no common base.
_READER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    AssertionError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_header(raw: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> ImageHeader:
    """The format and size of an upload, without decoding it.

    Raises ImageRefused.
    """
    image_format, header = _inspect(raw, limits)
    return _as_seen(image_format, header)


def decode(raw: bytes, *, shorter_side: int | None = None, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """The first frame in mode RGB, upright, transparent parts over white.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as its shorter side stays at least `shorter_side` pixels
    (12 megapixels: 43 ms instead of 178).

    Raises ImageRefused for what `read_header` refuses, ImageUndecodable when the pixels cannot be read, MemoryError
    when this machine has too little memory for them.
    """
    image_format, header = _inspect(raw, limits)
    try:
        image = _open_heic(raw) if image_format == "HEIC" else _OPENERS[image_format](BytesIO(raw))
        _check_size(image.width, image.height, limits)  # again: a crafted file may tell the decoder another size
        if shorter_side is not None and isinstance(image, JpegImageFile):
            image.draft(None, (shorter_side, shorter_side))
        image.load()
        return _upright(_to_rgb(image), header.orientation)
    except _READER_ERRORS as error:
        raise ImageUndecodable(
            f"The picture cannot be decoded: {_reason(error)}. Open it, save it as JPEG or PNG and send that."
        ) from error


def _inspect(raw: bytes, limits: ImageLimits) -> tuple[ImageFormat, RawHeader]:
    if not raw:
        raise ImageRefused("empty", "The file is empty. Choose a photo and send it again.")
    if len(raw) > limits.max_bytes:
        raise ImageRefused(
            "too_many_bytes",
            f"The file has {_megabytes(len(raw))} MB; at most {_megabytes(limits.max_bytes)} MB are taken. "
            "Send a smaller copy.",
        )
    image_format = detect_format(raw)
    if image_format is None:
        raise ImageRefused(
            "unsupported_format",
            "This is not an image we can read. Send a JPEG, PNG, WebP, GIF, BMP, AVIF or HEIC file.",
        )
    header = _parse(raw, image_format)
    _check_size(header.width, header.height, limits)
    if image_format == "HEIC":
        _check_heic(max(header.coded_pixels, header.width * header.height), limits)
    return image_format, header


def _parse(raw: bytes, image_format: ImageFormat) -> RawHeader:
    try:
        return parse_header(raw, image_format)
    except (*_READER_ERRORS, MemoryError) as error:
        reason = str(error) if isinstance(error, HeaderError) else "ends too early or is damaged"
        raise ImageRefused(
            "unreadable_header",
            f"This looks like a {image_format} image, but the file {reason}. Open it, save it again and send that.",
        ) from error


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if max(width, height) > limits.max_side_pixels:
        raise ImageRefused(
            "side_too_long",
            f"The picture is {width} x {height} pixels; a side may have at most {limits.max_side_pixels}. "
            "Send a smaller copy.",
        )
    if width * height > limits.max_pixels:
        raise ImageRefused(
            "too_many_pixels",
            f"The picture has {width * height:,} pixels; at most {limits.max_pixels:,} are taken. Send a smaller copy.",
        )


def _check_heic(num_pixels: int, limits: ImageLimits) -> None:
    if num_pixels > limits.max_heic_pixels:
        raise ImageRefused(
            "too_many_pixels",
            f"The picture is coded as {num_pixels:,} pixels; of a HEIC file at most {limits.max_heic_pixels:,} are "
            "taken. Save it as JPEG, or send a smaller copy.",
        )


def _as_seen(image_format: ImageFormat, header: RawHeader) -> ImageHeader:
    # Orientations 5-8 turn the picture by a quarter.
    if header.orientation >= 5:
        return ImageHeader(image_format, header.height, header.width)
    return ImageHeader(image_format, header.width, header.height)


def _open_heic(raw: bytes) -> Image.Image:
    import pi_heif

    image: Image.Image = pi_heif.open_heif(primary_heic(raw)).to_pillow()
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        image = _from_16_bit(image)
    if image.has_transparency_data:
        return _over_white(image.convert("RGBA"))
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Grey in 8 bits, transparent parts white.

    Pillow's own conversion clips at 255, which turns a 16-bit picture white. Without numpy: the web process, which
    reads headers here and draws thumbnails, is to do without its memory.
    """
    grey_of = [value >> 8 for value in range(65536)]
    if "transparency" in image.info:
        grey_of[image.info["transparency"]] = 255
    grey = Image.new("L", image.size)
    num_rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, num_rows):
        strip = image.crop((0, top, image.width, min(top + num_rows, image.height)))
        grey.paste(strip.convert("I").point(grey_of, "L"), (0, top))
    return grey


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    # Phones store the rotation in EXIF; the model must see what people see.
    method = _TRANSPOSE.get(orientation)
    return image if method is None else image.transpose(method)


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f}".removesuffix(".0")


def _reason(error: BaseException) -> str:
    text = str(error).lower()
    if "truncated" in text or isinstance(error, EOFError):
        return "the file is incomplete, its end is missing"
    return "its data is damaged or of a kind that cannot be read"
