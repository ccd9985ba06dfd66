"""Writes the names that `architecture_names` reads, as the libraries that are installed have them."""

import json

import timm

from classifier_core.architecture_names import NAMES
from classifier_core.architectures.build import names_by_library
from classifier_core.architectures.families import FAMILIES


def installed_names() -> dict[str, list[str]]:
    """The families, and the architectures of each library; those of timm with a tag, too, where it knows weights."""
    names: dict[str, frozenset[str]] = names_by_library()
    names["timm"] |= {*timm.list_models(include_tags=True)}
    return {"families": [family.name for family in FAMILIES], **{library: sorted(names[library]) for library in names}}


if __name__ == "__main__":
    NAMES.write_text(json.dumps(installed_names(), indent=0) + "\n")
