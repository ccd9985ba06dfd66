"""Which photos show the same thing, as the commands that split or inspect are told."""

import tempfile
from argparse import ArgumentParser, _ArgumentGroup
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from classifier_core.errors import ClassifierError, DatasetInvalid

if TYPE_CHECKING:
    from classifier_core.artifact import Artifact
    from classifier_core.datasets.folder import Photo
    from classifier_core.datasets.looks import Look

KEPT = Path("features") / "imagenet"  # below MEDIA_ROOT


def add_features_options(parser: ArgumentParser | _ArgumentGroup) -> None:
    """--artifact and --no-features."""
    parser.add_argument(
        "--artifact", type=Path, help="whose features tell what looks alike (default: the starter model imagenet)"
    )
    add_no_features(parser)


def add_no_features(parser: ArgumentParser | _ArgumentGroup) -> None:
    """--no-features."""
    parser.add_argument(
        "--no-features", dest="features", action="store_false", help="find what looks alike without a network: faster"
    )


def looking_artifact(folder: Path | None = None) -> "Artifact":
    """The artifact in this folder, else the imagenet starter: it knows a thousand things, and no training changes it.

    Raises ClassifierError, OSError.
    """
    from classifier_core.artifact import load_artifact

    kept = Path(settings.MEDIA_ROOT) / KEPT
    if folder is None and not kept.exists():
        _keep_imagenet(kept)
    return load_artifact(folder or kept)


def _keep_imagenet(kept: Path) -> None:
    """Build and export it once: ten seconds that later commands are spared."""
    from classifier_core.export import export_onnx
    from recognizer.registry import artifact_store
    from starters.build_imagenet import build_imagenet

    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        artifact = build_imagenet(Path(scratch) / kept.name)
        export_onnx(artifact)
        artifact_store.move_in(artifact.folder, kept)


def group_alike(
    photos: "Sequence[Photo]", looks: "Sequence[Look]", *, features: bool, artifact: Path | None = None
) -> list[int]:
    """A group number for each photo: near-duplicates, and with `features` what a network finds almost the same.

    Raises DatasetInvalid, OSError.
    """
    from classifier_core.datasets.duplicates import group_near_duplicates, is_comparable
    from classifier_core.datasets.features import comparable_features

    if not features or not any(map(is_comparable, looks)):
        return group_near_duplicates(photos, looks=looks)
    try:
        found = comparable_features(photos, looks, looking_artifact(artifact))
    except ClassifierError as error:
        raise DatasetInvalid(f"{error} To do without a network's look, add --no-features.") from error
    return group_near_duplicates(photos, looks=looks, features=found)
