"""Errors of a command as one sentence, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

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
