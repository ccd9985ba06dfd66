"""What a command says of its work: errors as one sentence, never a traceback; on a terminal, where it is."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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


def tell_torchrun(sentence: str) -> None:
    """Have torchrun, if it started this process, end its own report with the sentence."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        Path(path).write_text(json.dumps({"message": sentence, "timestamp": int(time.time())}), encoding="utf-8")


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
