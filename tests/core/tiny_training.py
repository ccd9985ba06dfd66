"""Photos that a tiny network learns to tell apart in seconds: stripes by direction, in random colours and noise."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from classifier_core.architectures import build
from classifier_core.datasets.folder import Dataset, load_dataset
from classifier_core.datasets.splits import Split

LABELS = ("across", "down", "slanted")


def register_tiny() -> None:
    """Make the networks known as `tiny` and `tiny_convolutional`."""
    build._OURS |= {"tiny": TinyNetwork, "tiny_convolutional": TinyConvolutional}


class TinyNetwork(nn.Module):
    """Convolutions with norms, dropout and a head: all that a real one has, in a millisecond."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((in_channels, 8), (8, 16)):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).mean((2, 3)))


class TinyConvolutional(nn.Module):
    """Its head is a convolution, and what follows is more than a mean, as in SqueezeNet."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = TinyNetwork(num_classes=num_classes, in_channels=in_channels).features
        self.head = nn.Conv2d(16, num_classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images)).relu().mean((2, 3))


def write_stripes(root: Path, *, per_class: int = 16, size: int = 32, seed: int = 0) -> Path:
    """A folder of photos for each direction."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size]
    waves = {"across": rows, "down": columns, "slanted": rows + columns}
    for label, place in waves.items():
        (root / label).mkdir(parents=True)
        for number in range(per_class):
            wave = 0.5 + 0.5 * np.sin(place * random.uniform(0.7, 1.0) + random.uniform(0, 6))
            colour = random.uniform(80, 255, 3)
            pixels = wave[:, :, None] * colour + random.normal(0, 12, (size, size, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / label / f"{number:03}.png")
    return root


def split_by_number(root: Path, *, num_val: int = 4, num_test: int = 0) -> Split:
    """The last photos of each class judge."""
    dataset = load_dataset(root)
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for label in dataset.labels:
        numbers = [number for number, photo in enumerate(dataset.photos) if photo.label == label]
        first_val, first_test = len(numbers) - num_val - num_test, len(numbers) - num_test
        rows["train"] += numbers[:first_val]
        rows["val"] += numbers[first_val:first_test]
        rows["test"] += numbers[first_test:]
    return Split(*(_part(dataset, rows[name]) for name in ("train", "val", "test")))


def _part(dataset: Dataset, numbers: list[int]) -> Dataset:
    return dataset.only(dataset.photos[number] for number in numbers)
