"""Sentences that are stored with the keys of labels, and read with their names in the reader's language."""

import re
from collections.abc import Mapping

_MARKED = re.compile(r"\{([\w.\-]+)\}")  # as keys are written; no other word of a sentence stands in braces


def marked(key: str) -> str:
    """The key as it stands in a stored sentence."""
    return f"{{{key}}}"


def keys_in(words: str) -> list[str]:
    """The keys that are marked in the sentence."""
    return _MARKED.findall(words)


def with_names(words: str, names: Mapping[str, str]) -> str:
    """The sentence with what the labels are called; a key that has no name stays as it is."""
    return _MARKED.sub(lambda found: names.get(found[1], found[1]), words)
