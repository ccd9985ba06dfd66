"""Typed settings from environment variables. A bad value stops the start with a sentence that names it."""

import os
import re
from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be one of true, false, 1, 0, yes, no, on, off; it is {value!r}.")
    return value in TRUE


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    value = text(name, str(default))
    # Not isdigit(): it takes superscripts, which int() does not.
    if not re.fullmatch("-?[0-9]{1,18}", value) or not minimum <= int(value) <= maximum:
        raise ImproperlyConfigured(f"{name} must be a whole number from {minimum} to {maximum}; it is {value!r}.")
    return int(value)


def number(name: str, default: float, *, minimum: float, maximum: float) -> float:
    value = text(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or not minimum <= float(value) <= maximum:
        raise ImproperlyConfigured(f"{name} must be a number from {minimum} to {maximum}; it is {value!r}.")
    return float(value)


def words(name: str, default: Sequence[str] = ()) -> list[str]:
    """The comma-separated values of a variable."""
    value = text(name)
    return [word.strip() for word in value.split(",") if word.strip()] if value else list(default)


def choice(name: str, default: str, *, choices: Sequence[str]) -> str:
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}; it is {value!r}.")
    return value
