"""How a run's curves are drawn: as paths of SVG, the same for the page and for the script that redraws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 600.0, 200.0  # of the drawing, in its own units
PARTS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class Line:
    """One part's figures over the epochs."""

    part: str
    name: str
    path: str
    newest: str  # in words


@dataclass(frozen=True)
class Chart:
    """Both parts' figures of one kind."""

    key: str
    title: str
    top: str  # what the upper edge stands for
    bottom: str
    lines: tuple[Line, ...]


def draw_charts(curves: Sequence[dict[str, Any]], num_epochs: int) -> list[Chart]:
    """Loss and accuracy."""
    losses = [point[part]["loss"] for point in curves for part in PARTS]
    return [
        _chart("loss", "Loss", curves, num_epochs, highest=max(losses, default=1.0) or 1.0),
        _chart("accuracy", "Accuracy", curves, num_epochs, highest=1.0),
    ]


def _chart(key: str, title: str, curves: Sequence[dict[str, Any]], num_epochs: int, *, highest: float) -> Chart:
    shares = {part: [point[part][key] / highest for point in curves] for part in PARTS}
    lines = [
        Line(part, name, _path(shares[part], num_epochs), _newest(curves, part, key)) for part, name in PARTS.items()
    ]
    return Chart(key, title, _in_words(key, highest), _in_words(key, 0.0), tuple(lines))


def _path(shares: Sequence[float], num_epochs: int) -> str:
    """Through the shares of the height; a single one becomes a dot."""
    step = WIDTH / max(1, num_epochs - 1)
    points = [f"{number * step:.1f} {HEIGHT * (1 - share):.1f}" for number, share in enumerate(shares)]
    return f"M{'L'.join(points)}h0.1" if points else ""


def _newest(curves: Sequence[dict[str, Any]], part: str, key: str) -> str:
    return _in_words(key, curves[-1][part][key]) if curves else ""


def _in_words(key: str, value: float) -> str:
    if key == "loss":
        return f"{value:.3g}"
    return f"{value:.0%}" if value in (0, 1) else f"{value:.1%}"
