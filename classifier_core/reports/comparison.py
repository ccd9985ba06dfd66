"""The report of two models on the same photos."""

from collections.abc import Sequence
from pathlib import Path

from classifier_core.comparison import Comparison
from classifier_core.reports.page import Report

MAX_PHOTOS = 12


def write_comparison(
    found: Comparison,
    path: Path,
    *,
    names: tuple[str, str],
    data: str,
    gained: Sequence[tuple[Path, str]] = (),
    lost: Sequence[tuple[Path, str]] = (),
) -> None:
    """Write the page; `gained` and `lost` are photos with words, where only B or only A is right. Raises OSError."""
    low, high = found.interval
    report = Report(f"Two models on {data}", intro=f"A is {names[0]}, B is {names[1]}. {found.verdict}")
    report.section("The difference")
    report.table(
        ("figure", "value"),
        [
            ("photos", found.num_images),
            ("accuracy of A", found.accuracy_a),
            ("accuracy of B", found.accuracy_b),
            ("difference, B - A", f"{found.difference:+.3f}"),
            ("95 % interval of the difference", f"{low:+.3f} to {high:+.3f}"),
            ("only B is right", found.gained),
            ("only A is right", found.lost),
            ("McNemar, exact: p", f"{found.p_value:.3g}"),
        ],
        caption="The interval draws whole groups of near-duplicates; p is how often luck alone does so much.",
    )
    report.section("Class by class")
    rows = [(one.label, one.support, one.recall_a, one.recall_b, one.gained, one.lost) for one in found.classes]
    report.table(("class", "photos", "recall of A", "recall of B", "gained", "lost"), rows)
    for title, photos, count in (("Gained", gained, found.gained), ("Lost", lost, found.lost)):
        if photos:
            report.section(title)
            shown = list(photos)[:MAX_PHOTOS]
            report.photos(shown, caption=f"{len(shown)} of {count} photos.")
    report.write(path)
