"""Columns that stand under each other on a terminal, whatever script they are in."""

import unicodedata


def width_of(text: str) -> int:
    """Cells that a terminal draws: two for a Chinese character, none for an accent that is written apart."""
    return sum(_cells(character) for character in text)


def padded(text: str, width: int) -> str:
    """The text with spaces behind it up to this width."""
    return text + " " * (width - width_of(text))


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
