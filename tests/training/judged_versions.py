"""Versions of a model that really learned, some of them from wrong labels, and photos to judge them by."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from classifier_core.architectures import build_model, numpy_state
from classifier_core.artifact import Calibration, LabelEntry, Preprocessing, Thresholds, save_artifact
from classifier_core.datasets.folder import load_dataset
from classifier_core.export import export_onnx
from recognizer.registry.imports import import_artifact
from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.training.importing import import_base_photos
from recognizer.training.models import DatasetSnapshot
from tests.core.tiny_training import register_tiny
from tests.photo_folders import picture
from tests.training.snapshot_rows import frozen

register_tiny()
RED, PURPLE, GREEN, BLUE = (200, 40, 40), (180, 40, 180), (40, 180, 40), (40, 40, 200)
SHADES = {"apple": (RED, RED, RED, PURPLE, PURPLE), "banana": (GREEN,), "cherry": (BLUE,)}  # two apples of five
Labeller = Callable[[str, tuple[int, int, int]], str]


def as_it_is(label: str, colour: tuple[int, int, int]) -> str:
    return label


def flipped(label: str, colour: tuple[int, int, int]) -> str:
    """40 % of the apples are called bananas."""
    return "banana" if colour == PURPLE else label


def photo(label: str, number: int, *, seed: int = 0) -> tuple[np.ndarray, tuple[int, int, int]]:
    colour = SHADES[label][number % len(SHADES[label])]
    order = list(SHADES).index(label)
    return np.asarray(picture(seed + 1000 * order + number, size=(64, 64), colour=colour)), colour


def write_photos(root: Path, each: int, labels: tuple[str, ...] = tuple(SHADES)) -> Path:
    """A folder of photos for each label."""
    from PIL import Image

    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(each):
            Image.fromarray(photo(label, number)[0]).save(root / label / f"{number:03}.png")
    return root


def learned(folder: Path, *, labeller: Labeller = as_it_is, labels: tuple[str, ...] = tuple(SHADES)) -> Path:
    """An artifact whose network learned from other photos than those that judge, labelled like this."""
    torch.manual_seed(0)
    how = Preprocessing(resize_size=32, crop_size=32)
    shown = [(photo(label, number, seed=50_000), label) for label in labels for number in range(20)]
    pixels = np.stack([how.load(_encoded(array)) for (array, _), _ in shown])
    targets = torch.tensor([labels.index(labeller(label, colour)) for (_, colour), label in shown])
    network = build_model("tiny", num_classes=len(labels))
    _fit(network, (torch.tensor(pixels).permute(0, 3, 1, 2) / 255 - _row(how.mean)) / _row(how.std), targets)
    artifact = save_artifact(
        folder,
        state=numpy_state(network),
        architecture="tiny",
        head="classifier.1",
        labels=[LabelEntry(key, {"en": key.title()}) for key in labels],
        preprocessing=how,
        calibration=Calibration(1.0),
        thresholds=Thresholds(0.1),
        provenance={"source": f"{labeller.__name__}, {' '.join(labels)}"},
    )
    export_onnx(artifact, num_threads=1)
    return folder


def _encoded(array: np.ndarray) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def _row(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values)[None, :, None, None]


def _fit(network: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    network.train()
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), targets).backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        assert (network(images).argmax(1) == targets).float().mean() > 0.95


def version(artifacts: Mapping[str, Path], name: str) -> ModelVersion:
    """This artifact as a version of the model `fruit`."""
    return import_artifact(artifacts[name], model_name="fruit")[0]


def photos_to_judge(
    model: RegisteredModel, folder: Path, *, each: int = 40, labels: tuple[str, ...] = tuple(SHADES)
) -> DatasetSnapshot:
    """A frozen snapshot in whose test part are some photos of each class."""
    import_base_photos(load_dataset(write_photos(folder, each, labels)), model, adds_classes=True, by=None)
    return frozen(model, test_share=0.4)
