"""Format, size and EXIF orientation from the first bytes, without a decoder.

Pillow walks every JPEG marker and PNG chunk in Python, so 25 MB of empty ones keep it busy for more than ten seconds
and hundreds of megabytes before it knows the size. The web process looks at every upload, so it reads headers here:
a bounded number of steps for any file.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Literal, NamedTuple

ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIC"]

# A photo with every kind of metadata has about 300 segments before its pixels (an ICC profile or extended XMP of
# many megabytes comes in pieces of 64 KiB).
MAX_SEGMENTS = 2_000

# Pixels lie in chunks too: 25 MB in pieces of 4 KiB, smaller than any encoder writes, are 6,000.
MAX_PNG_CHUNKS = 20_000

# A progressive JPEG is decoded whole once per scan: 75 ms for 40 megapixels, for a scan of 61 bytes. Encoders write
# 1 to 15 scans. Beyond FREE_SCANS their pixels together are bounded, to less than a second.
FREE_SCANS = 20
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 400_000_000


@dataclass(frozen=True)
class RawHeader:
    """What the file says about itself: the stored size, and how to turn it (EXIF orientation 1-8)."""

    width: int  # pixels, as stored
    height: int
    orientation: int = 1
    coded_pixels: int = 0  # where the file stores more than it shows


class HeaderError(ValueError):
    """The structure ahead of the pixels makes no sense. The message completes "the file ..."."""


def detect_format(raw: bytes) -> ImageFormat | None:
    """The format by content, or None when it is not one of the seven we take."""
    for magic, name in _MAGIC:
        if raw.startswith(magic):
            return name
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "WEBP"
    if raw[4:8] == b"ftyp":
        return _heif_format(raw)
    return None


def parse_header(raw: bytes, image_format: ImageFormat) -> RawHeader:
    """Size and orientation of a file of this format.

    Raises HeaderError, struct.error or IndexError for a broken one (and what the AVIF and HEIC libraries raise).
    """
    header = _PARSERS[image_format](raw)
    if header.width < 1 or header.height < 1:
        raise HeaderError("has no width or height")
    return header


_MAGIC: tuple[tuple[bytes, ImageFormat], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
_AVIF_BRANDS = {b"avif", b"avis"}


def _heif_format(raw: bytes) -> ImageFormat | None:
    # ISO 14496-12: box size, "ftyp", major brand, minor version, compatible brands.
    end = min(int.from_bytes(raw[:4], "big"), 512)
    brands = {raw[8:12], *(raw[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


def _jpeg(raw: bytes) -> RawHeader:
    orientation, frame, is_one_scan = 1, None, False
    for marker, start, end in _jpeg_segments(raw):
        if marker == 0xE1 and raw[start : start + 6] == b"Exif\0\0" and orientation == 1:
            orientation = exif_orientation(raw[start + 6 : end])
        # SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share the range.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = frame or (marker, *struct.unpack_from(">HHB", raw, start + 1))
        if marker == 0xDA and frame is not None:
            # Not progressive, and all components in the first scan: decoders stop behind it.
            is_one_scan = frame[0] in (0xC0, 0xC1) and raw[start] == frame[3]
    if frame is None:
        raise HeaderError("never says how large its picture is")
    if not is_one_scan:
        _check_scans(raw, frame[1] * frame[2])
    return RawHeader(width=frame[2], height=frame[1], orientation=orientation)


def _check_scans(raw: bytes, num_pixels: int) -> None:
    # Compressed pixels never hold these bytes: photos end here. The walk is for those with a film in the same file.
    if raw.count(_SCAN) <= FREE_SCANS:
        return
    num_scans = sum(marker == 0xDA for marker, _, _ in _jpeg_segments(raw, to_end=True))
    if num_scans > MAX_SCANS or (num_scans > FREE_SCANS and num_scans * num_pixels > MAX_SCANNED_PIXELS):
        raise HeaderError(f"draws its picture in {num_scans} passes, which takes too long")


# The next marker behind compressed pixels, in which FF is followed by 00 or a restart marker.
_SCAN = b"\xff\xda\0"
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg_segments(raw: bytes, *, to_end: bool = False) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment's content, to the first scan or to the end of the picture."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        # Some cameras write stray bytes between segments; decoders skip to the next marker, so we do as well.
        at = raw.find(b"\xff", at)
        while at >= 0 and raw[at + 1] in (0x00, 0xFF):
            at = raw.find(b"\xff", at + 1)
        if at < 0 or raw[at + 1] == 0xD9:
            return
        marker = raw[at + 1]
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:  # markers without a length
            at += 2
            continue
        length = int.from_bytes(raw[at + 2 : at + 4], "big")
        if length < 2:
            raise HeaderError("has a damaged header")
        yield marker, at + 4, at + 2 + length
        at += 2 + length
        if marker == 0xDA:
            following = _NEXT_MARKER.search(raw, at) if to_end else None
            if following is None:
                return
            at = following.start()
    raise HeaderError("has too many header segments")


def _png(raw: bytes) -> RawHeader:
    if raw[12:16] != b"IHDR":
        raise HeaderError("does not begin with its header chunk")
    width, height = struct.unpack_from(">II", raw, 16)
    return RawHeader(width, height, _png_orientation(raw))


def _png_orientation(raw: bytes) -> int:
    at, orientation, has_pixels = 8, 1, False
    for _ in range(MAX_PNG_CHUNKS):
        if at + 8 > len(raw):
            break
        length, kind = struct.unpack_from(">I4s", raw, at)
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"eXIf":
            orientation = exif_orientation(raw[at + 8 : at + 8 + length])
        at += 12 + length
        if kind == b"IEND":
            break
    else:
        raise HeaderError("is cut into too many pieces")
    if not has_pixels:
        raise HeaderError("ends before its pixels begin")
    return orientation


def _gif(raw: bytes) -> RawHeader:
    width, height, flags = struct.unpack_from("<HHB", raw, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(MAX_SEGMENTS):
        if raw[at] == 0x2C:
            left, top, frame_width, frame_height = struct.unpack_from("<HHHH", raw, at + 1)
            # A first frame that reaches over the edge makes decoders enlarge the canvas.
            return RawHeader(max(width, left + frame_width), max(height, top + frame_height))
        if raw[at] != 0x21:
            raise HeaderError("has no first frame")
        at = _after_gif_extension(raw, at + 2)
    raise HeaderError("has too many header blocks")


def _after_gif_extension(raw: bytes, at: int) -> int:
    for _ in range(MAX_SEGMENTS):
        size = raw[at]
        at += 1 + size
        if size == 0:
            return at
    raise HeaderError("has too many header blocks")


def _bmp(raw: bytes) -> RawHeader:
    header_size = int.from_bytes(raw[14:18], "little")
    if header_size == 12:
        width, height = struct.unpack_from("<HH", raw, 18)
        return RawHeader(width, height)
    width, height = struct.unpack_from("<ii", raw, 18)
    return RawHeader(width, abs(height))  # a negative height means rows from the top


def _webp(raw: bytes) -> RawHeader:
    kind = raw[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(raw[24:27], "little") + 1
        return RawHeader(width, int.from_bytes(raw[27:30], "little") + 1, _webp_orientation(raw))
    if kind == b"VP8L" and raw[20] == 0x2F:
        bits = int.from_bytes(raw[21:25], "little")
        return RawHeader((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and raw[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", raw, 26)
        return RawHeader(width & 0x3FFF, height & 0x3FFF)
    raise HeaderError("has a damaged header")


def _webp_orientation(raw: bytes) -> int:
    at = 12
    for _ in range(MAX_SEGMENTS):
        if at + 8 > len(raw):
            return 1
        kind, length = struct.unpack_from("<4sI", raw, at)
        if kind == b"EXIF":
            return exif_orientation(raw[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return 1


def _avif(raw: bytes) -> RawHeader:
    from PIL.AvifImagePlugin import AvifImageFile

    with AvifImageFile(BytesIO(raw)) as image:  # parses boxes, decodes nothing
        exif = image.info.get("exif", b"")
        return RawHeader(image.width, image.height, exif_orientation(exif))


def _heic(raw: bytes) -> RawHeader:
    boxes = _HeicBoxes(raw)
    width, height, coded_pixels = 0, 0, 0
    for kind, start in boxes.primary_properties():
        if kind == b"ispe":
            width, height = struct.unpack_from(">II", raw, start + 4)
            coded_pixels = width * height
        elif kind == b"clap":
            horizontal, width_parts, vertical, height_parts = struct.unpack_from(">IIII", raw, start)
            width, height = horizontal // max(1, width_parts), vertical // max(1, height_parts)
        elif kind == b"irot" and raw[start] & 1:
            width, height = height, width
    # libheif turns the picture itself; EXIF must not turn it again.
    return RawHeader(width, height, coded_pixels=coded_pixels)


def primary_heic(raw: bytes) -> bytes:
    """The same HEIC file with one picture in it: no metadata, no films, all other pictures hidden.

    libheif builds every picture of a file and copies its metadata for each: 4 MB become 800.

    Raises HeaderError, struct.error or IndexError for a broken one.
    """
    boxes, file = _HeicBoxes(raw), bytearray(raw)
    for at in boxes.unneeded():
        file[at + 4 : at + 8] = b"free"  # behind its four bytes of size
    for start, number in boxes.pictures():
        file[start + 3] = number != boxes.primary  # flags of infe: 1 hides
    return bytes(file)


_HEIC_PICTURES = {b"hvc1", b"grid", b"iden"}  # no overlays: they draw whole pictures over each other, many times


class _Box(NamedTuple):
    kind: bytes
    at: int  # where it begins
    start: int  # where its content begins
    end: int


class _HeicBoxes:
    """The boxes that say which items a HEIC file has (ISO 14496-12, 23008-12), as offsets into it."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.file = list(_boxes(raw, 0, len(raw), has_rest=True))
        start, end = self._one(self.file, b"meta")
        self.meta = list(_boxes(raw, start + 4, end))
        self.primary = self._number(self._one(self.meta, b"pitm")[0], 4)[0]
        start, end = self._one(self.meta, b"iinf")
        self.items = list(_boxes(raw, start + (8 if raw[start] else 6), end))

    def _one(self, boxes: list[_Box], kind: bytes) -> tuple[int, int]:
        found = [(box.start, box.end) for box in boxes if box.kind == kind]
        if len(found) != 1:
            raise HeaderError("does not say clearly which picture is in it")
        return found[0]

    def _number(self, start: int, at: int, *, wide_from: int = 1) -> tuple[int, int]:
        """The item number in the box at `start`, and where it ends."""
        is_wide = self.raw[start] >= wide_from
        number: int = struct.unpack_from(">I" if is_wide else ">H", self.raw, start + at)[0]
        return number, start + at + (4 if is_wide else 2)

    def _item(self, start: int) -> tuple[int, bytes]:
        number, at = self._number(start, 4, wide_from=3)
        return number, self.raw[at + 2 : at + 6]

    def pictures(self) -> list[tuple[int, int]]:
        """Start and number of each item that is a picture."""
        return [
            (box.start, self._item(box.start)[0])
            for box in self.items
            if box.kind == b"infe" and self._item(box.start)[1] in _HEIC_PICTURES
        ]

    def unneeded(self) -> list[int]:
        """Where the boxes begin that have nothing to do with a picture."""
        pictures = {start for start, _ in self.pictures()}
        others = [box.at for box in self.file if box.kind not in (b"ftyp", b"meta", b"mdat")]
        return others + [box.at for box in self.items if box.start not in pictures]

    def primary_properties(self) -> list[tuple[bytes, int]]:
        """Kind and start of what is said about the primary picture, in the order in which it applies."""
        iprp = list(_boxes(self.raw, *self._one(self.meta, b"iprp")))
        properties = list(_boxes(self.raw, *self._one(iprp, b"ipco")))
        wanted = self._associations(self._one(iprp, b"ipma")[0])
        return [(properties[index - 1].kind, properties[index - 1].start) for index in wanted if index > 0]

    def _associations(self, start: int) -> list[int]:
        is_wide = self.raw[start + 3] & 1
        at = start + 8
        for _ in range(min(MAX_SEGMENTS, int.from_bytes(self.raw[start + 4 : at], "big"))):
            number, at = self._number(start, at - start)
            count, at = self.raw[at], at + 1
            indices = struct.unpack_from(f">{count}{'H' if is_wide else 'B'}", self.raw, at)
            if number == self.primary:
                return [index & (0x7FFF if is_wide else 0x7F) for index in indices]
            at += count * (2 if is_wide else 1)
        raise HeaderError("never says how large its picture is")


def _boxes(raw: bytes, at: int, end: int, *, has_rest: bool = False) -> Iterator[_Box]:
    """Each box between two offsets. The last one of a cut-off file may reach beyond its end."""
    for _ in range(MAX_SEGMENTS):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", raw, at)
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(raw[start : start + 8], "big"), start + 8
        size = size or end - at
        if at + size < start or (at + size > end and not has_rest):
            raise HeaderError("has a damaged header")
        yield _Box(kind, at, start, at + size)
        at += size
    raise HeaderError("has too many header boxes")


_PARSERS: dict[ImageFormat, Callable[[bytes], RawHeader]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
    "AVIF": _avif,
    "HEIC": _heic,
}


def exif_orientation(exif: bytes) -> int:
    """The EXIF orientation 1-8; 1 where the block says nothing sensible. Never raises.

    Read by hand because Pillow's reader warns, raises half a dozen types on damaged blocks, and honours XMP, which
    browsers do not.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    start = int(struct.unpack_from(order + "I", exif, 4)[0])
    entries = exif[start + 2 : start + 2 + 12 * MAX_SEGMENTS]
    count = min(MAX_SEGMENTS, *struct.unpack(order + "H", exif[start : start + 2].ljust(2, b"\0")))
    for at in range(0, min(12 * count, len(entries) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", entries, at)
        if tag == 0x0112:
            return int(value) if kind == 3 and 1 <= value <= 8 else 1
    return 1
