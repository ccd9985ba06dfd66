"""The models a fresh service starts with."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from recognizer.registry.models import ModelVersion, RegisteredModel

STARTERS = {
    "imagenet": "Everyday things: the 1,000 classes of ImageNet.",
    "fruit": "Ten fruits, in the shop and in the hand.",
}


def import_starters(say: Callable[[str], object]) -> list[ModelVersion]:
    """Import and promote the starter models of which nothing was ever promoted. Returns the new versions.

    A starter that an administrator replaced stays replaced.
    """
    served = set(RegisteredModel.objects.filter(promotions__isnull=False).values_list("name", flat=True))
    return [_import(name, say) for name in STARTERS if name not in served]


def _import(name: str, say: Callable[[str], object]) -> ModelVersion:
    from recognizer.registry.imports import import_artifact  # loads torch
    from recognizer.registry.promotion import promote

    say(f"  Importing the starter model {name} ...")
    with tempfile.TemporaryDirectory() as scratch:
        version, _ = import_artifact(_folder(name, Path(scratch)), model_name=name, description=STARTERS[name])
    promote(version, by=None, reason="Starter model, promoted at first start.")
    return version


def _folder(name: str, scratch: Path) -> Path:
    """The starter's artifact: shipped, or built from the weights that a Python package ships."""
    if name != "imagenet":
        return settings.BASE_DIR / "starters" / name
    from starters.build_imagenet import build_imagenet  # loads torch

    return build_imagenet(scratch / name).folder
