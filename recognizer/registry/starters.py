"""The models a fresh service starts with."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from recognizer.registry.models import ModelVersion, RegisteredModel

REASON = "Starter model, promoted at first start."


@dataclass(frozen=True)
class Starter:
    """A registered model that a fresh service has."""

    description: str
    artifacts: tuple[str, ...]  # folders below starters/, a version each; the last one serves
    reason: str = REASON


STARTERS = {
    "imagenet": Starter("Everyday things: the 1,000 classes of ImageNet.", ("imagenet",)),
    "fruit": Starter("Ten fruits, in the shop and in the hand.", ("fruit",)),
    "garbage": Starter(
        "Household rubbish: cardboard, glass, metal, paper, plastic, and the rest.",
        ("garbage/ghostnet", "garbage/mobilenet"),
        f"{REASON} MobileNetV2 names 90.3 % of 217 test photos right; GhostNet, which is version 1, 82.5 %.",
    ),
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

    starter = STARTERS[name]
    for artifact in starter.artifacts:
        say(f"  Importing the starter model {artifact} ...")
        with tempfile.TemporaryDirectory() as scratch:
            folder = _folder(artifact, Path(scratch))
            version, _ = import_artifact(folder, model_name=name, description=starter.description)
    promote(version, by=None, reason=starter.reason)
    return version


def _folder(artifact: str, scratch: Path) -> Path:
    """Shipped, or built from the weights that a Python package ships."""
    if artifact != "imagenet":
        return settings.BASE_DIR / "starters" / artifact
    from starters.build_imagenet import build_imagenet  # loads torch

    return build_imagenet(scratch / artifact).folder
