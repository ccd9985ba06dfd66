"""What architectures are called, for a process that must not load torch to know.

The list lies beside this, as `list_architectures` gives it; a test compares the two. After an update of timm or
torchvision write it anew: `python -m classifier_core.architectures.listing`.
"""

import difflib
import json
from functools import cache
from pathlib import Path

NAMES = Path(__file__).with_suffix(".json")
LIBRARIES = ("", "timm", "torchvision")


def why_unknown(name: str) -> str:
    """Why no network has this name, with those that are spelled alike; empty for a name that one has."""
    families, architectures = _known()
    library, _, plain = name.rpartition("/")
    if library in LIBRARIES and (plain.partition(".")[0] in architectures or _plain(plain) in map(_plain, families)):
        return ""
    close = difflib.get_close_matches(plain, (*architectures, *families), n=3)
    return f"There is no architecture named {name!r}." + (f" Did you mean {', '.join(close)}?" if close else "")


@cache
def _known() -> tuple[tuple[str, ...], tuple[str, ...]]:
    known = json.loads(NAMES.read_text())
    return tuple(known["families"]), tuple(known["architectures"])


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
