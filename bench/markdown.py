"""Tables as the documents show them."""

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table: a row of headings, and one for each line of as many cells."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, ("---",) * len(headings), *lines))
