"""A report as one HTML file that explains itself: no script, nothing fetched, light and dark, wide and narrow."""

import base64
import io
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from PIL import Image

from classifier_core import durable
from classifier_core.errors import ClassifierError
from classifier_core.images import decode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Figures are drawn in this colour where they should follow the page's text colour; nothing else uses it.
INK = "#0b0c0d"

THUMBNAIL_SIDE = 200  # pixels, of the longer side
_PIXELS_PER_INCH = 96  # CSS's inch

_PAGE = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)


def _with_code(words: str) -> Markup:
    """What stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))  # noqa: S704  # escaped before


_PAGE.filters["with_code"] = _with_code


@dataclass
class _Section:
    title: str
    blocks: list[dict[str, Any]] = field(default_factory=list)


class Report:
    """Headings, words, figures, tables and photos, in the order in which they are added."""

    def __init__(self, title: str, *, intro: str = "") -> None:
        self._title, self._intro = title, intro
        self._sections = [_Section("")]

    def section(self, title: str, words: str = "") -> None:
        """Start a new part, with a heading and an entry in the contents."""
        self._sections.append(_Section(title))
        self.text(words)

    def text(self, words: str) -> None:
        """Paragraphs, with an empty line between each two."""
        for paragraph in filter(None, (part.strip() for part in words.split("\n\n"))):
            self._add("text", words=paragraph)

    def figure(self, figure: "Figure", *, alt: str, caption: str = "") -> None:
        """A figure of `plots.py`, inline. `alt` says in words what it shows, for those who do not see it."""
        width = round(figure.get_figwidth() * _PIXELS_PER_INCH)
        self._add("figure", svg=_inline_svg(figure), width=width, alt=alt, caption=caption)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> None:
        """A table; numbers are set right, fractions with three decimals, None as a dash."""
        cells = [[(_in_words(value), _is_number(value)) for value in row] for row in rows]
        columns = range(len(head))
        right = [bool(cells) and all(row[column][1] or row[column][0] == "–" for row in cells) for column in columns]
        self._add("table", head=list(zip(head, right, strict=True)), rows=cells, caption=caption)

    def photos(self, photos: Iterable[tuple[Path, str]], *, caption: str = "") -> None:
        """Thumbnails with words under each; a file that cannot be read is shown as that."""
        self._add("photos", photos=[(_thumbnail(path), words) for path, words in photos], caption=caption)

    def pictures(self, pictures: Iterable[tuple[Image.Image, str]], *, caption: str = "") -> None:
        """The same for pictures that were drawn."""
        self._add("photos", photos=[(_shrunk(image), words) for image, words in pictures], caption=caption)

    def write(self, path: Path) -> None:
        """Write the page, in place of an older one. Raises OSError."""
        page = _PAGE.get_template("page.html").render(
            title=self._title, intro=self._intro, sections=[part for part in self._sections if part.blocks]
        )
        durable.replace(path, [page.encode()])

    def _add(self, kind: str, **values: Any) -> None:
        self._sections[-1].blocks.append({"kind": kind, **values})


def _inline_svg(figure: "Figure") -> Markup:
    drawing = io.StringIO()
    # The text stays text in the file, so the reader's browser brings the glyphs (Chinese class names).
    with mpl.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
    svg = drawing.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)  # the same in every figure, and used by none
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    return Markup(svg)  # noqa: S704  # matplotlib's own writer, which escapes what it is given


def _thumbnail(path: Path) -> str | None:
    try:
        image = decode(path.read_bytes(), shorter_side=THUMBNAIL_SIDE)
    except (OSError, ClassifierError):
        return None
    return _shrunk(image)


def _shrunk(image: Image.Image) -> str:
    """A JPEG thumbnail as a data URL."""
    image = image.copy()
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _in_words(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
