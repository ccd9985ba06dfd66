"""An answer as the pages draw it. Numbers are ready-made text: a page's language must not change an SVG's commas."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recognizer.predictions.describe import Names
from recognizer.predictions.models import Prediction


@dataclass(frozen=True)
class Bar:
    """One label's part of the answer."""

    name: str
    score: float

    @property
    def percent(self) -> str:
        return f"{self.score:.1%}"

    @property
    def width(self) -> str:
        """Out of 100."""
        return f"{self.score * 100:.2f}"


@dataclass(frozen=True)
class Span:
    """One part of the time an answer took; start and width out of 100."""

    kind: str
    name: str | Promise
    milliseconds: float
    start: str
    width: str


def bars_of(row: Prediction, names: Names) -> list[Bar]:
    """The best labels with their scores, best first."""
    return [Bar(names.get((row.model_id, key), key), score) for key, score in row.scores[: row.top_k]]


def spans_of(row: Prediction) -> list[Span]:
    """Queue, decoding, inference and the rest, in order; empty before the end."""
    total = row.total_ms
    if not total or row.decode_ms is None or row.inference_ms is None:
        return []
    parts = [
        ("queue", _("waiting"), row.queue_ms or 0.0),
        ("decode", _("reading the picture"), row.decode_ms),
        ("inference", _("recognising"), row.inference_ms),
    ]
    rest = max(0.0, total - sum(milliseconds for *_names, milliseconds in parts))
    return _side_by_side([*parts, ("rest", _("storing and handing over"), rest)])


def _side_by_side(parts: list[tuple[str, Promise, float]]) -> list[Span]:
    whole = sum(milliseconds for *_names, milliseconds in parts) or 1.0
    spans, start = [], 0.0
    for kind, name, milliseconds in parts:
        width = milliseconds / whole * 100
        spans.append(Span(kind, name, milliseconds, start=f"{start:.2f}", width=f"{width:.2f}"))
        start += width
    return spans


def has_picture(row: Prediction) -> bool:
    """Whether there is a picture to show: only an answer proves that a worker, which may die of it, has decoded it."""
    return row.image_id is not None and row.status == Prediction.Status.SUCCEEDED
