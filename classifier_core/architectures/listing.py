"""Writes the names that `architecture_names` reads, as the libraries that are installed have them."""

import json

from classifier_core.architecture_names import NAMES
from classifier_core.architectures.build import list_architectures
from classifier_core.architectures.families import FAMILIES


def installed_names() -> dict[str, list[str]]:
    """The families and all architectures."""
    return {"families": [family.name for family in FAMILIES], "architectures": list(list_architectures())}


if __name__ == "__main__":
    NAMES.write_text(json.dumps(installed_names(), indent=0) + "\n")
