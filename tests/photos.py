"""Where the real photos lie that are too many, or not ours, to be in the repository."""

import os
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parent.parent


def photos(name: str) -> Path:
    """The folder or file `name` (fruit, imagenet_sample, badinput, ...); skips the test where it is not there.

    RECOGNIZER_PHOTOS names the folder that holds them; else it is `shared/data` beside the checkout.
    """
    folder = Path(os.environ.get("RECOGNIZER_PHOTOS") or _CHECKOUT.parent / "shared" / "data")
    if not (folder / name).exists():
        pytest.skip(f"no photos {name!r}; RECOGNIZER_PHOTOS may name the folder that holds them")
    return folder / name
