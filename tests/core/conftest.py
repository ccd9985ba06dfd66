"""Small real artifacts, made once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from classifier_core.architectures import ObservedNetwork, build_model, numpy_state
from classifier_core.artifact import Artifact, LabelEntry, save_artifact
from classifier_core.export import export_onnx
from classifier_core.preprocessing import Preprocessing

NUM_CLASSES = 7

MakeArtifact = Callable[..., Artifact]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Other tests run beside: two threads that wait for each other take up to ten times as long as one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_artifact(tmp_path_factory: pytest.TempPathFactory) -> MakeArtifact:
    """An artifact with fresh random weights: make_artifact("resnet18", calibration=..., ...)."""

    def make(architecture: str, *, preprocessing: Preprocessing | None = None, **parts: object) -> Artifact:
        preprocessing = preprocessing or Preprocessing(resize_size=72, crop_size=64)
        torch.manual_seed(0)
        channels, size = preprocessing.channels, preprocessing.crop_size
        model = build_model(architecture, num_classes=NUM_CLASSES, in_channels=channels)
        head = ObservedNetwork(model, num_classes=NUM_CLASSES, in_channels=channels, size=size).head
        folder: Path = tmp_path_factory.mktemp("artifacts") / "model"
        values = {
            "state": numpy_state(model),
            "architecture": architecture,
            "head": head,
            "labels": [LabelEntry(f"class_{number}", {"en": f"Class {number}"}) for number in range(NUM_CLASSES)],
            "preprocessing": preprocessing,
            "provenance": {"weights": "random"},
        }
        return save_artifact(folder, **values | parts)

    return make


@pytest.fixture(scope="session")
def exported(make_artifact: MakeArtifact) -> Artifact:
    """A small MobileNetV3 with its exported graph. Read only."""
    artifact = make_artifact("mobilenetv3_small_050")
    export_onnx(artifact)
    return artifact
