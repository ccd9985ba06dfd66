"""Cells and files that a spreadsheet opens without running anything. Standard library only."""

from typing import Any

# What a spreadsheet takes for the start of a formula, with the full-width forms that some of them fold to ASCII.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
BYTE_ORDER_MARK = "\ufeff"  # without it Excel reads UTF-8 as the machine's own code page


def harmless(value: Any) -> str:
    """The value as a cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
