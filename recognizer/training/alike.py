"""Which photos show the same thing, as the commands that split or inspect are told."""

from argparse import ArgumentParser, _ArgumentGroup
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from classifier_core.artifact import Artifact
    from classifier_core.datasets.folder import Photo
    from classifier_core.datasets.looks import Look

ARTIFACT = Path(settings.BASE_DIR) / "starters" / "fruit"


def add_features_options(parser: ArgumentParser | _ArgumentGroup) -> None:
    """--artifact and --no-features."""
    parser.add_argument(
        "--artifact", type=Path, default=ARTIFACT, help="whose features tell what looks alike; default: starters/fruit"
    )
    add_no_features(parser)


def add_no_features(parser: ArgumentParser | _ArgumentGroup) -> None:
    """--no-features."""
    parser.add_argument(
        "--no-features", dest="features", action="store_false", help="find what looks alike without a network: faster"
    )


def looking_artifact(folder: Path = ARTIFACT) -> "Artifact":
    """The copy that this service exported already, if there is one: that spares the export."""
    from classifier_core.artifact import load_artifact
    from classifier_core.engines.graph import graph_folder
    from recognizer.registry.artifact_store import folder_of

    artifact = load_artifact(folder)
    served = folder_of(artifact.sha256)
    if graph_folder(artifact).exists() or not (served / "engines" / "onnx").exists():
        return artifact
    return load_artifact(served, sha256=artifact.sha256)


def group_alike(photos: "Sequence[Photo]", looks: "Sequence[Look]", artifact: "Artifact | None") -> list[int]:
    """A group number for each photo: near-duplicates, and what the artifact, where there is one, finds almost the same.

    Raises ClassifierError, OSError.
    """
    from classifier_core.datasets.duplicates import group_near_duplicates
    from classifier_core.datasets.features import comparable_features

    features = comparable_features(photos, looks, artifact) if artifact else None
    return group_near_duplicates(photos, looks=looks, features=features)
