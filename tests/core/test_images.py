import resource
import struct
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier_core import images
from classifier_core.errors import ImageRefused, ImageUndecodable
from classifier_core.images import DEFAULT_LIMITS, ImageHeader, ImageLimits, decode, read_header
from tests.core.heic_files import GRADIENT, box, from_gradient, full_box, large_picture, many_pictures, size_of
from tests.photos import photos

EXIF_ORIENTATION = 0x0112
HEIC = Path(__file__).parent / "files" / "gradient.heic"


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def quadrants() -> Image.Image:
    """40 x 20: red, green over blue, white."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("lime", (20, 0, 40, 10))
    image.paste("blue", (0, 10, 20, 20))
    image.paste("white", (20, 10, 40, 20))
    return image


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def refusal(raw: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        read_header(raw, limits)
    return caught.value


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_every_format_is_read(image_format):
    raw = encode(quadrants(), image_format, **({"lossless": True} if image_format == "WEBP" else {}))

    assert read_header(raw) == ImageHeader(image_format, 40, 20)
    red, _, blue = decode(raw).getpixel((5, 15))
    assert red < 40
    assert blue > 215


def test_heic_is_read():
    raw = HEIC.read_bytes()

    assert read_header(raw) == ImageHeader("HEIC", 29, 100)
    decoded = decode(raw)
    assert (decoded.mode, decoded.size) == ("RGB", (29, 100))
    assert decoded.getpixel((5, 5)) == pytest.approx((15, 47, 246), abs=3)
    assert decoded.getpixel((25, 95)) == pytest.approx((245, 223, 14), abs=3)


def test_cut_off_heic_is_an_error():
    with pytest.raises(ImageUndecodable, match="damaged"):
        decode(HEIC.read_bytes()[:2500])


def test_heic_of_many_pictures_costs_one(tmp_path):
    raw = many_pictures(200, 4_000_000)

    assert read_header(raw) == ImageHeader("HEIC", 64, 100)
    assert peak_megabytes(raw, tmp_path) < 30  # each with a copy of the metadata they were 800


def test_primary_picture_of_a_heic_is_decoded():
    """Two pictures; the one to show is the second, and larger than the first."""
    raw = large_picture(2, 1)

    assert read_header(raw) == ImageHeader("HEIC", 128, 100)
    assert decode(raw).size == (128, 100)
    assert read_header(large_picture(1, 3)) == ImageHeader("HEIC", 64, 300)


def test_heic_is_turned_as_it_says():
    """A quarter turn in place of a property that changes nothing: 8 bits a channel."""
    turned = GRADIENT.replace(from_gradient(b"pixi"), box(b"irot", b"\x01" + bytes(7)))

    assert read_header(turned) == ImageHeader("HEIC", 100, 29)
    assert decode(turned).size == (100, 29)


@pytest.mark.parametrize(
    "raw",
    [
        GRADIENT.replace(b"pitm", b"free"),
        GRADIENT.replace(b"pitm", b"iprp"),
        GRADIENT.replace(b"\0\0\0\x0epitm", b"\0\0\0\x02pitm"),
        GRADIENT.replace(b"ispe", b"free"),
        from_gradient(b"ftyp") + full_box(b"meta", box(b"free", b"") * 3_000_000),
        from_gradient(b"ftyp") + box(b"free", b"") * 3_000_000,
    ],
    ids=["no primary", "two of a kind", "size too small", "no size", "millions in meta", "millions of boxes"],
)
def test_damaged_heic_is_refused_at_once(raw):
    start = time.perf_counter()
    error = refusal(raw)

    assert error.code == "unreadable_header"
    assert time.perf_counter() - start < 0.1


def test_slow_heic_has_a_cap_of_its_own():
    large = GRADIENT.replace(size_of(29, 100), size_of(5200, 5000))

    error = refusal(large)

    assert error.code == "too_many_pixels"
    assert "HEIC file at most 25,000,000" in str(error)
    assert read_header(GRADIENT.replace(size_of(29, 100), size_of(5712, 4284)))  # a phone's 24 megapixels


def test_lossy_webp_header_is_read():
    assert read_header(encode(quadrants(), "WEBP")) == ImageHeader("WEBP", 40, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_picture_is_turned_as_exif_says(image_format, orientation):
    upright = quadrants()
    # How a camera held that way stores the scene: the inverse of what a viewer does.
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = upright.transpose(stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}, "PNG": {}}[image_format]
    raw = encode(image, image_format, exif=exif, **options)

    assert read_header(raw) == ImageHeader(image_format, 40, 20)
    difference = np.abs(np.asarray(decode(raw), int) - np.asarray(upright, int))
    assert difference.mean() < 8


def test_exif_behind_png_pixels_counts():
    raw = encode(quadrants(), "PNG")
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    late = raw[:-12] + png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + raw[-12:]

    assert read_header(late) == ImageHeader("PNG", 20, 40)
    assert decode(late).size == (20, 40)


def test_sixteen_bit_grey_is_scaled():
    values = np.array([[0, 0x1234, 0x8000, 0xFFFF]], np.uint16)

    assert np.asarray(decode(encode(Image.fromarray(values), "PNG")))[0, :, 0].tolist() == [0, 0x12, 0x80, 0xFF]


@pytest.mark.parametrize("transparent", [0, 0x4321])
def test_sixteen_bit_transparency_becomes_white(transparent):
    values = np.full((600, 3), 0x1234, np.uint16)
    values[::2, 0] = transparent
    raw = encode(Image.fromarray(values), "PNG", transparency=transparent)

    assert np.asarray(decode(raw))[598:, 0, 0].tolist() == [255, 0x12]


def test_sixteen_bit_strips_join(monkeypatch):
    monkeypatch.setattr(images, "STRIP_PIXELS", 30)
    values = np.random.default_rng(1).integers(0, 65536, (10, 7), np.uint16)

    decoded = np.asarray(decode(encode(Image.fromarray(values), "PNG")))

    assert (decoded[:, :, 0] == values >> 8).all()


PEAK_MEMORY = """
import resource, sys
from classifier_core.images import decode, read_header
raw = open(sys.argv[1], "rb").read()
read_header(raw)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode(raw, shorter_side=256)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""


def peak_megabytes(raw: bytes, tmp_path: Path) -> int:
    """By how much one decode makes a fresh process grow."""
    (tmp_path / "picture").write_bytes(raw)
    command = [sys.executable, "-c", PEAK_MEMORY, str(tmp_path / "picture")]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_sixteen_bit_picture_needs_little_memory(tmp_path):
    raw = encode(Image.fromarray(np.full((6300, 6300), 0x1234, np.uint16)), "PNG")

    assert peak_megabytes(raw, tmp_path) < 250  # 40 megapixels in mode RGB are 160


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_gives_rgb(mode):
    image = Image.fromarray(np.full((20, 40), 7, np.uint16)) if mode == "I;16" else quadrants().convert(mode)

    decoded = decode(encode(image, "PNG"))

    assert (decoded.mode, decoded.size) == ("RGB", (40, 20))


def test_cmyk_keeps_its_colours():
    decoded = np.asarray(decode(encode(quadrants().convert("CMYK"), "JPEG", quality=95)), int)

    assert np.abs(decoded - np.asarray(quadrants(), int)).mean() < 8


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_parts_become_white(mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 4))
    image = image.convert("P") if mode == "PA" else image.convert(mode)

    decoded = decode(encode(image, "PNG"))

    assert decoded.getpixel((3, 3)) == (255, 255, 255)
    assert decoded.getpixel((0, 0)) == (0, 0, 0)


def test_palette_picture_without_its_palette_cannot_be_decoded():
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0))
    rows = png_chunk(b"IDAT", zlib.compress((b"\0" + bytes(8)) * 8))

    with pytest.raises(ImageUndecodable):
        decode(b"\x89PNG\r\n\x1a\n" + header + rows + png_chunk(b"IEND", b""))


def test_palette_transparency_becomes_white():
    image = quadrants().quantize(8)
    raw = encode(image, "PNG", transparency=image.getpixel((0, 0)))

    assert decode(raw).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_first_frame_of_an_animation(image_format):
    later = [Image.new("RGB", (40, 20), "black")] * 2
    raw = encode(quadrants(), image_format, save_all=True, append_images=later, duration=50)

    assert sum(decode(raw).getpixel((35, 15))) > 600


def test_first_picture_of_a_multi_picture_jpeg():
    raw = encode(quadrants(), "MPO", save_all=True, append_images=[Image.new("RGB", (40, 20))])

    assert read_header(raw).format == "JPEG"
    assert sum(decode(raw).getpixel((35, 15))) > 600


def test_draft_keeps_the_shorter_side():
    raw = encode(Image.new("RGB", (4000, 3000), "red"), "JPEG")

    assert decode(raw, shorter_side=256).size == (500, 375)
    assert decode(raw, shorter_side=376).size == (1000, 750)
    assert decode(raw).size == (4000, 3000)


def test_draft_keeps_the_orientation():
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    raw = encode(Image.new("RGB", (4000, 3000)), "JPEG", exif=exif)

    assert decode(raw, shorter_side=256).size == (375, 500)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty"),
        (b"hello, this is text", "unsupported_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (b"II*\0\x08\0\0\0", "unsupported_format"),
        (b"\xff\xd8\xff", "unreadable_header"),
        (b"\xff\xd8\xff\xe0\x00\x00", "unreadable_header"),
        (b"\x89PNG\r\n\x1a\n", "unreadable_header"),
        (b"GIF89a", "unreadable_header"),
        (b"BM", "unreadable_header"),
        (b"RIFF\0\0\0\0WEBP", "unreadable_header"),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "unreadable_header"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", "unreadable_header"),
    ],
)
def test_refusal_has_a_code_and_advice(raw, code):
    error = refusal(raw)

    assert error.code == code
    assert str(error).endswith(".")
    assert any(verb in str(error) for verb in ("Send", "send", "Choose"))


def test_caps_are_read_from_the_header():
    raw = encode(Image.new("1", (300, 200)), "PNG")

    assert refusal(raw, ImageLimits(max_bytes=10)).code == "too_many_bytes"
    assert refusal(raw, ImageLimits(max_pixels=59_999)).code == "too_many_pixels"
    assert refusal(raw, ImageLimits(max_side_pixels=299)).code == "side_too_long"
    assert read_header(raw, ImageLimits(max_bytes=len(raw), max_pixels=60_000, max_side_pixels=300))


def test_gif_frame_beyond_its_canvas_counts():
    raw = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 19_999, 19_999, 0)

    assert refusal(raw).code == "too_many_pixels"


def test_second_size_in_a_file_is_checked_too():
    raw = encode(quadrants(), "JPEG")
    start = raw.index(b"\xff\xc0")
    frame = raw[start : start + 2 + int.from_bytes(raw[start + 2 : start + 4], "big")]
    larger = frame[:5] + struct.pack(">HH", 19_000, 19_000) + frame[9:]

    with pytest.raises(ImageRefused, match="361,000,000 pixels"):
        decode(raw[:start] + frame + larger + raw[start + len(frame) :], shorter_side=16)


def repeated_scans(side: int, repeats: int, *, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan, which changes nothing, comes again and again."""
    raw = encode(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = raw.rindex(b"\xff\xda")
    return raw[:last] + (between + raw[last:-2]) * repeats + raw[-2:]


@pytest.mark.parametrize("between", [b"", b"\xff\xfe\x00\x04\xff\xd9"], ids=["bare", "with a false end"])
def test_endless_scans_are_refused(between):
    error = refusal(repeated_scans(6300, 50, between=between))

    assert error.code == "unreadable_header"
    assert "55 passes" in str(error)
    assert refusal(repeated_scans(8, 96)).code == "unreadable_header"


def test_many_scans_of_a_small_picture_are_read():
    raw = repeated_scans(400, 90)

    assert read_header(raw) == ImageHeader("JPEG", 400, 400)
    assert decode(raw).getpixel((200, 200)) == (128, 128, 128)


def test_scans_behind_the_picture_do_not_count():
    film = b"\xff\xda\x00\x08" * 200
    noise = Image.effect_noise((2500, 2000), 60)

    for raw in (encode(noise, "JPEG"), encode(noise, "JPEG", progressive=True)):
        assert read_header(raw + film) == ImageHeader("JPEG", 2500, 2000)


def test_large_photo_header_takes_no_time():
    raw = encode(Image.effect_noise((2500, 2000), 90), "JPEG", quality=97)
    start = time.perf_counter()
    for _ in range(100):
        read_header(raw)

    assert len(raw) > 4_000_000
    assert time.perf_counter() - start < 0.1  # 1 ms each


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_picture_without_pixels_is_refused(size):
    raw = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))

    assert refusal(raw).code == "unreadable_header"


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xd8" + b"\xff\xe1\x00\x02" * 6_000_000,
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 2, 0, 0, 0))
        + png_chunk(b"tEXt", b"") * 2_000_000,
        b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"!\xfe\x01a\0" * 4_900_000,
        b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"!\xfe" + b"\x01a" * 12_000_000,
        b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10) + b"junk\0\0\0\0" * 3_000_000,
    ],
    ids=["jpeg segments", "png chunks", "gif blocks", "gif pieces", "webp chunks"],
)  # fmt: skip
def test_millions_of_tiny_pieces_cost_nothing(raw):
    start = time.perf_counter()
    for read in (read_header, decode):
        with suppress(ImageRefused, ImageUndecodable):
            read(raw)

    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_cut_off_file_is_an_error_not_grey(image_format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    raw = encode(noise, image_format)

    with pytest.raises((ImageUndecodable, ImageRefused)) as caught:
        decode(raw[: len(raw) * 2 // 3])

    assert str(caught.value).endswith(".")


def test_missing_memory_is_no_fault_of_the_picture(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", no_memory)

    with pytest.raises(MemoryError):
        decode(encode(quadrants(), "JPEG"))


def test_ordinary_header_takes_no_time():
    raw = encode(Image.effect_noise((500, 375), 60), "JPEG")
    start = time.perf_counter()
    for _ in range(200):
        read_header(raw)

    assert time.perf_counter() - start < 0.2  # 0.02 ms each on an idle machine; 1 ms allowed


def outcome(raw: bytes) -> str:
    """ "decoded", or the sentence that says why not."""
    try:
        header, image = read_header(raw), decode(raw)
    except (ImageRefused, ImageUndecodable) as error:
        return str(error)
    return (
        "decoded" if (image.mode, image.size) == ("RGB", (header.width, header.height)) else "header and picture differ"
    )


@pytest.mark.filterwarnings("ignore:Invalid APNG:UserWarning")  # Pillow's, about broken animations
def test_hostile_files_decode_or_say_why():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sorted(photos("badinput").iterdir()):
        raw, start = path.read_bytes(), time.perf_counter()
        words = outcome(raw)
        assert words == "decoded" or words.endswith("."), (path, words)
        assert time.perf_counter() - start < 2, path
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
