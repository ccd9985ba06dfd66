"""The signing key: from the environment, or made once and kept beside the data."""

import fcntl
import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from classifier_core import durable
from recognizer import environment

MIN_LENGTH = 32  # characters


def load_secret_key(path: Path, *, required: bool) -> str:
    """The value of RECOGNIZER_SECRET_KEY, else the key in `path`, which is created when missing.

    Raises ImproperlyConfigured when `required` and the variable is missing or short.
    """
    key = environment.text("RECOGNIZER_SECRET_KEY")
    if key and len(key) < MIN_LENGTH:
        raise ImproperlyConfigured(f"RECOGNIZER_SECRET_KEY must have at least {MIN_LENGTH} characters.")
    if required and not key:
        raise ImproperlyConfigured(
            "RECOGNIZER_PRODUCTION needs RECOGNIZER_SECRET_KEY: a random text that never changes."
        )
    return key or _load_or_create(path)


def _load_or_create(path: Path) -> str:
    return _read(path) or _create(path)


def _read(path: Path) -> str:
    """Empty when there is none, or only the empty file that a power cut left of one."""
    return path.read_text().strip() if path.exists() else ""


def _create(path: Path) -> str:
    """A new key, on disk before anything is signed with it. When another process is first, its key counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if key := _read(path):
            return key
        key = secrets.token_urlsafe(48)
        durable.replace(path, [key.encode()], mode=0o600)
        return key
    finally:
        os.close(folder)
