"""What architectures are called, for a process that must not load torch to know.

The list lies beside this, as `list_architectures` gives it; a test compares the two. After an update of timm or
torchvision write it anew: `python -m classifier_core.architectures.listing`.
"""

import difflib
import json
from functools import cache
from pathlib import Path

NAMES = Path(__file__).with_suffix(".json")
PREFIXES = ("timm", "torchvision")


def why_unknown(name: str) -> str:
    """Why no network has this name, with those that are spelled alike; empty for a name that one has."""
    known = _known()
    library, _, plain = name.rpartition("/")
    if plain in _names_in(library) or _plain(name) in map(_plain, known["families"]):
        return ""
    untagged = {one for names in known.values() for one in names if "." not in one}
    close = difflib.get_close_matches(plain, sorted(untagged), n=3)
    return f"There is no architecture named {name!r}." + (f" Did you mean {', '.join(close)}?" if close else "")


def _names_in(library: str) -> set[str]:
    """What may stand behind this library and a slash; without a library, all there is."""
    known = _known()
    if library:
        return set(known[library]) if library in PREFIXES else set()
    return {*known["ours"], *known["timm"], *known["torchvision"]}


@cache
def _known() -> dict[str, list[str]]:
    """Names by library, and those of families. A tag is part of a name: `resnet18.a1_in1k`; only timm has those."""
    return dict(json.loads(NAMES.read_text()))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
