"""The signing key: from the environment, or made once and kept beside the data."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

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
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"secret_key.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)  # fails when another process was first: its key counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()
