"""HEIC files put together from one real tile: many pictures in a file, and pictures of any size."""

import struct
from pathlib import Path

GRADIENT = (Path(__file__).parent / "files" / "gradient.heic").read_bytes()  # a grid over one tile of 64 x 100


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full_box(kind: bytes, content: bytes, *, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]) + content)


def from_gradient(kind: bytes) -> bytes:
    """The first box of this kind in the real file, whole."""
    at = GRADIENT.index(kind) - 4
    return GRADIENT[at : at + int.from_bytes(GRADIENT[at : at + 4], "big")]


TILE = from_gradient(b"mdat")[8:]


def item(number: int, kind: bytes) -> bytes:
    return full_box(b"infe", struct.pack(">HH4s", number, 0, kind) + b"\0", version=2)


def size_of(width: int, height: int) -> bytes:
    return full_box(b"ispe", struct.pack(">II", width, height))


def heic(items: list[tuple[bytes, bytes]], *, primary: int, properties: dict[int, bytes], refers: bytes) -> bytes:
    """A file of items (kind, data), numbered from 1. `properties`: 1 hvcC, 2 the tile's size, 3 the grid's."""
    count = len(items)
    described = b"".join(struct.pack(">HB", number, len(of)) + of for number, of in properties.items())
    ipco = box(b"ipco", from_gradient(b"hvcC") + size_of(64, 100) + items_size(items))
    parts = [
        from_gradient(b"hdlr"),
        full_box(b"pitm", struct.pack(">H", primary)),
        full_box(b"iinf", struct.pack(">H", count) + b"".join(item(n + 1, kind) for n, (kind, _) in enumerate(items))),
        box(b"iprp", ipco + full_box(b"ipma", struct.pack(">I", len(properties)) + described)),
        full_box(b"iref", refers),
    ]
    data = list(dict.fromkeys(content for _, content in items))
    ahead = len(from_gradient(b"ftyp")) + 12 + sum(map(len, parts)) + 16 + 14 * count + 8
    offsets = {content: ahead + sum(map(len, data[:at])) for at, content in enumerate(data)}
    places = [struct.pack(">HHHII", n + 1, 0, 1, offsets[of], len(of)) for n, (_, of) in enumerate(items)]
    iloc = full_box(b"iloc", b"\x44\0" + struct.pack(">H", count) + b"".join(places))
    return from_gradient(b"ftyp") + full_box(b"meta", b"".join([*parts, iloc])) + box(b"mdat", b"".join(data))


def items_size(items: list[tuple[bytes, bytes]]) -> bytes:
    """What the first grid among the items says about its size, as a property."""
    grids = [struct.unpack(">HH", content[4:8]) for kind, content in items if kind == b"grid"]
    return size_of(*grids[0]) if grids else b""


def many_pictures(count: int, metadata_bytes: int) -> bytes:
    """`count` pictures that all say the same metadata is theirs; the second one is the picture to show."""
    items = [(b"hvc1", TILE)] * count + [(b"Exif", bytes(4) + b"MM\0*" + bytes(metadata_bytes))]
    describes = struct.pack(f">HH{count}H", count + 1, count, *range(1, count + 1))
    properties = dict.fromkeys(range(1, count + 1), b"\x81\x02")
    return heic(items, primary=min(2, count), properties=properties, refers=box(b"cdsc", describes))


def large_picture(columns: int, rows: int, *, said_size: tuple[int, int] | None = None) -> bytes:
    """A grid of the one tile: 64 x `columns` by 100 x `rows` pixels, whatever `said_size` says."""
    count, size = columns * rows, (64 * columns, 100 * rows)
    grid = bytes([0, 0, rows - 1, columns - 1]) + struct.pack(">HH", *size)
    drawn = struct.pack(f">HH{count}H", count + 1, count, *range(1, count + 1))
    properties = dict.fromkeys(range(1, count + 1), b"\x81\x02") | {count + 1: b"\x03"}
    raw = heic(
        [(b"hvc1", TILE)] * count + [(b"grid", grid)],
        primary=count + 1, properties=properties, refers=box(b"dimg", drawn),
    )  # fmt: skip
    return raw.replace(size_of(*size), size_of(*(said_size or size)))
