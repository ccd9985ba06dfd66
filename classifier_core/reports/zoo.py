"""The report of many networks on the same photos."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from classifier_core.reports import plots
from classifier_core.reports.page import Report
from classifier_core.zoo import ENGINES, Entry

HEAD = (
    "network", "accuracy", "macro recall", "million parameters", "million operations", "MB",
    *(f"ms, {spec.engine} {spec.precision}" for spec in ENGINES),
)  # fmt: skip


def table_rows(entries: Iterable[Entry]) -> list[tuple[str, ...]]:
    """One row an entry under `HEAD`, the most accurate first."""
    ordered = sorted(entries, key=lambda entry: -entry.accuracy)
    return [
        (
            entry.title,
            f"{entry.accuracy:.4f}",
            f"{entry.macro_recall:.4f}",
            f"{entry.num_parameters / 1e6:.2f}",
            f"{entry.flops / 1e6:,.0f}",
            f"{entry.num_bytes / 1e6:.1f}",
            *("–" if value is None else f"{value:.1f}" for value in entry.milliseconds.values()),
        )
        for entry in ordered
    ]


def write_zoo(entries: Sequence[Entry], problems: Sequence[tuple[str, str]], path: Path, *, name: str) -> None:
    """Write the page; `problems` are networks that could not be trained, with the reason. Raises OSError."""
    counts = sorted({entry.num_images for entry in entries})
    report = Report(
        f"{len(entries)} networks on {name}",
        intro=f"Accuracy and recall on {' and '.join(map(str, counts))} held-out photos. Operations and milliseconds "
        "are for one picture.",
    )
    report.section("All in one table")
    report.table(HEAD, table_rows(entries), caption="The most accurate first.")
    if problems:
        report.table(("network", "why it is not there"), problems)
    _add_courses(report, entries)
    report.write(path)


def _add_courses(report: Report, entries: Sequence[Entry]) -> None:
    runs = [entry for entry in entries if entry.course]
    if not runs:
        return
    report.section("How they learned")
    report.figure(
        plots.run_curves({entry.title: entry.course for entry in runs}, ylabel="accuracy on validation"),
        alt=f"Accuracy on validation over the epochs, of {len(runs)} runs.",
        caption="After each epoch, on the photos that chose the best one. A run of one epoch is a point.",
    )
    by_name = groupby(sorted(runs, key=lambda entry: (entry.name, entry.start)), key=lambda entry: entry.name)
    groups = [(name, list(runs_of)) for name, runs_of in by_name]
    pairs = [(name, both) for name, both in groups if len({entry.start for entry in both}) > 1]
    if pairs:
        report.section("Pretrained against scratch")
    for name, both in pairs:
        called = [f"{entry.start}, {entry.source}" if entry.source else str(entry.start) for entry in both]
        curves = {words: entry.course for words, entry in zip(called, both, strict=True)}
        said = "; ".join(f"{words}: {entry.accuracy:.3f}" for words, entry in zip(called, both, strict=True))
        report.figure(
            plots.run_curves(curves, ylabel="accuracy on validation"),
            alt=f"{name}: {said}.",
            caption=f"{name}. Accuracy on the held-out photos: {said}.",
        )
