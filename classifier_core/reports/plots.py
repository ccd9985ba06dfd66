"""Figures for reports, from plain values that can also be written as JSON. No pyplot, so no state between figures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from classifier_core.reports.page import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Mapping[str, Sequence[float]]

# Each at least 3:1 against white and against the dark page.
COLOURS = ("#3574d4", "#cf5b1f", "#158a5c", "#b5489b", "#8a7500", "#7d66d9", "#c23b4e", "#0f8a99")
_STYLES = ("-", "--", ":", "-.")
_LEGEND_COLUMNS = 2

_LOOK: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "font.family": "sans-serif",
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "text.parse_math": False,  # a class may be named $5
}


def loss_and_accuracy_curves(log: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and accuracy over the epochs; each entry has `epoch`, and `train` and `val` with `loss` and `accuracy`."""
    epochs = [entry["epoch"] for entry in log]
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(7.6, 3.2), layout="constrained")
        for axes, what in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for part, colour in zip(("train", "val"), COLOURS, strict=False):
                values = [entry.get(part, {}).get(what, float("nan")) for entry in log]
                axes.plot(epochs, values, color=colour, marker="." if len(epochs) < 30 else "", label=part)
            axes.set(xlabel="epoch", ylabel=what)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
        return figure


def run_curves(runs: Mapping[str, Sequence[float]], *, ylabel: str) -> Figure:
    """One line a run: a value for each epoch, from epoch 1."""
    with mpl.rc_context(_LOOK):
        figure, axes = _single(width=6.4, height=4)
        for number, (name, values) in enumerate(runs.items()):
            # A run of one epoch has no line to be seen by.
            dots: dict[str, Any] = {"marker": "o", "markersize": 4} if len(values) < 30 else {}
            axes.plot(range(1, len(values) + 1), values, **_line(number), **dots, label=_legible(name))
        axes.set(xlabel="epoch", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, len(runs))
        return figure


def confusion_matrix(confusion: Sequence[Sequence[int]], labels: Sequence[str], *, title: str = "") -> Figure:
    """Counts by true class (rows) and answer (columns), shaded by the share of the row."""
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.2, 0.46 * len(labels) + 1.6)
    with mpl.rc_context(_LOOK | {"axes.grid": False}):
        figure, axes = _single(width=side, height=side)
        axes.imshow(shares, cmap=_fading(COLOURS[0]), vmin=0, vmax=1)
        ticks = range(len(labels))
        axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(ticks, labels)
        axes.set(xlabel="answer", ylabel="true class", title=title)
        axes.tick_params(length=0)
        if len(labels) <= 40:
            _write_counts(axes, counts)
        return figure


def roc_curves(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """One curve a class, as `metrics.roc_curves` gives them."""
    return _class_curves(curves, xlabel="false positive rate", ylabel="true positive rate", area="AUC")


def pr_curves(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """One curve a class, as `metrics.pr_curves` gives them."""
    return _class_curves(curves, xlabel="recall", ylabel="precision", area="AP")


def reliability(bins: Sequence[Mapping[str, float]], *, before: Sequence[Mapping[str, float]] = ()) -> Figure:
    """Accuracy against confidence: on the diagonal, a score of 0.8 is right 8 times in 10. `before`: uncalibrated."""
    with mpl.rc_context(_LOOK):
        figure, axes = _single(width=5.4, height=4.2)
        axes.plot([0, 1], [0, 1], color=INK, alpha=0.5, linewidth=1, linestyle=":")
        shown = [("as the network says it", before, COLOURS[1]), ("calibrated", bins, COLOURS[0])]
        for label, points, colour in shown if before else [("", bins, COLOURS[0])]:
            x, y = [one["confidence"] for one in points], [one["accuracy"] for one in points]
            sizes = [10 + 120 * one["count"] / sum(each["count"] for each in points) for one in points]
            axes.plot(x, y, color=colour, linewidth=1)
            axes.scatter(x, y, s=sizes, color=colour, label=label)
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
        if before:
            axes.legend(loc="upper left")
        return figure


def coverage_error(curves: Mapping[str, Series], *, chosen: Mapping[str, float] | None = None) -> Figure:
    """Error among the answers kept against the share of photos answered, one curve a rule; `chosen` marks a point."""
    with mpl.rc_context(_LOOK):
        figure, axes = _single(width=6, height=3.8)
        for number, (name, curve) in enumerate(curves.items()):
            axes.plot(curve["coverage"], curve["error"], **_line(number), label=_legible(name))
        if chosen:
            axes.plot(chosen["coverage"], chosen["error"], "o", color=INK, label="as shipped")
        axes.set(xlabel="share of photos answered", ylabel="error among the answers", xlim=(0, 1.02))
        axes.set_ylim(bottom=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        axes.legend()
        return figure


def class_bars(counts: Mapping[str, int], *, ylabel: str = "photos") -> Figure:
    """One bar a class, with a line at the mean."""
    mean = sum(counts.values()) / max(1, len(counts))
    with mpl.rc_context(_LOOK):
        figure, axes = _single(width=max(5.0, 0.42 * len(counts) + 1.5), height=3.6)
        axes.bar(range(len(counts)), list(counts.values()), color=COLOURS[0])
        axes.axhline(mean, color=COLOURS[1], linestyle="--", linewidth=1.5, label=f"mean {mean:.0f}")
        axes.set_xticks(range(len(counts)), list(counts), rotation=45, ha="right", rotation_mode="anchor")
        axes.set(ylabel=ylabel)
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper right")  # beside the bars: with equal classes they fill the axes
        return figure


def resolution_scatter(sizes: Sequence[tuple[int, int]]) -> Figure:
    """Width against height, in pixels: one point a size, its area by the number of photos that have it."""
    found, counts = np.unique(np.asarray(sizes, dtype=np.float64).reshape(-1, 2), axis=0, return_counts=True)
    areas = 14 + 300 * (counts - 1) / max(1, len(sizes))  # square points of a printer
    with mpl.rc_context(_LOOK):
        figure, axes = _single(width=5.4, height=4.4)
        axes.scatter(found[:, 0], found[:, 1], s=areas, alpha=0.5, color=COLOURS[0], linewidths=0, rasterized=True)
        axes.set(xlabel="width, pixels", ylabel="height, pixels")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        return figure


def tsne(points: npt.NDArray[np.floating[Any]], targets: npt.NDArray[Any], labels: Sequence[str]) -> Figure:
    """Points [N, 2] by class index [N]: what lies close together looks alike to the network."""
    with mpl.rc_context(_LOOK | {"axes.grid": False}):
        figure, axes = _single(width=5.6, height=4.6)
        for index, label in enumerate(labels):
            x, y = points[targets == index].T
            colour, marker = COLOURS[index % len(COLOURS)], "osD^vPX*"[index // len(COLOURS) % 8]
            axes.scatter(
                x, y, s=16, color=colour, marker=marker, alpha=0.8, linewidths=0, label=_legible(label), rasterized=True
            )
        axes.set(xticks=[], yticks=[])
        _legend(figure, len(labels))
        return figure


def _class_curves(curves: Mapping[str, Mapping[str, Any]], *, xlabel: str, ylabel: str, area: str) -> Figure:
    with mpl.rc_context(_LOOK):
        figure, axes = _single(width=5.6, height=4)
        for number, (label, curve) in enumerate(curves.items()):
            axes.plot(
                curve["x"], curve["y"], **_line(number), label=_legible(f"{label}  {area} {_area(curve['area'])}")
            )
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        _legend(figure, len(curves))
        return figure


def _area(value: float) -> str:
    return f"{value:.4f}" if value > 0.999 else f"{value:.3f}"


def _single(*, width: float, height: float) -> "tuple[Figure, Axes]":
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _line(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _STYLES[number // len(COLOURS) % len(_STYLES)],
        "linewidth": 1.6,
    }


def _legend(figure: Figure, num_entries: int) -> None:
    # Below, where it makes the figure no wider: phones.
    if num_entries:
        rows = -(-num_entries // _LEGEND_COLUMNS)
        figure.set_figheight(figure.get_figheight() + 0.2 * rows)
        figure.legend(loc="outside lower left", ncols=_LEGEND_COLUMNS)


def _legible(label: str) -> str:
    # matplotlib leaves labels that start with an underscore out of the legend.
    return "\u200b" + label if label.startswith("_") else label


def _fading(colour: str) -> ListedColormap:
    # From transparent, so that the page shows through where nothing is.
    return ListedColormap([(*to_rgb(colour), share) for share in np.linspace(0, 1, 256)])


def _write_counts(axes: "Axes", counts: npt.NDArray[Any]) -> None:
    for row, column in np.argwhere(counts):
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=9)
