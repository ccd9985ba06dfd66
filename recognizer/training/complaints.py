"""What a command says of its work: errors as one sentence, never a traceback; on a terminal, where it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError

from classifier_core.errors import ClassifierError


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """What goes wrong inside is raised as CommandError."""
    try:
        yield
    except ClassifierError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"A file cannot be read or written: {error}.") from error


@contextmanager
def progress_line(terminal: Any) -> Iterator[Callable[[str], None]]:
    """Words said inside replace each other on one line, if this is a terminal."""
    if not terminal.isatty():
        yield lambda _: None
        return
    try:
        yield lambda words: terminal.write(f"\r\x1b[K{words}", ending="")
    finally:
        terminal.write("\r\x1b[K", ending="")
