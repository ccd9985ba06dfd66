"""Rows of the registry for tests that need no real network."""

from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.registry.promotion import promote


def registered_version(model_name: str, *, number: int = 1) -> ModelVersion:
    """A version without an artifact behind it."""
    model, _ = RegisteredModel.objects.get_or_create(name=model_name)
    return ModelVersion.objects.create(
        model=model,
        number=number,
        artifact_sha256=f"{number:064d}",
        architecture="mobilenet_v2",
        num_classes=2,
        manifest={},
    )


def promoted_version(model_name: str) -> ModelVersion:
    """A version that should serve."""
    version = registered_version(model_name)
    promote(version, by=None)
    return version
