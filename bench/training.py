"""`python -m bench.training`: photos a second of our training, beside a loop as torchvision's reference has it.

Both fine-tune all of MobileNetV2 on the same photos, with the same crops, batches and optimizer, in turns. The
reference is `references/classification/train.py` of torchvision: torch's default memory order, float32, and every photo
decoded again in every epoch by worker processes. Ours keeps decoded photos, computes channels_last, and in bfloat16
where the processor has it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.photos import write_photo
from classifier_core.datasets.folder import load_dataset
from classifier_core.datasets.splits import Split
from classifier_core.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from classifier_core.training.config import TrainConfig
from classifier_core.training.device import Machine, choose_device, choose_precision
from classifier_core.training.learner import start_learning
from classifier_core.training.lessons import build_plan
from classifier_core.training.loop import train_epoch
from classifier_core.training.materials import read_materials
from classifier_core.training.network import build_preprocessing, prepare_network
from classifier_core.training.processes import Place
from classifier_core.training.watching import UNWATCHED

LIMIT = 1.5  # ours must be this many times as fast
PHOTO = "500x375"  # pixels
SIZE = 224  # pixels, of the network's input
NUM_CLASSES = 4
RATE = 0.01

EXAMPLES = """examples:
  make bench-train
  make bench-train ARGS="--photos 256 --rounds 5"
  python -m bench.training --json figures.json
"""


@dataclass(frozen=True)
class Figures:
    """Photos a second, by round."""

    ours: list[float]
    reference: list[float]
    device: str
    precision: str  # ours; the reference has float32
    num_threads: int

    @property
    def ratio(self) -> float:
        """How many times as fast ours is: the median over rounds, in each of which both saw the same machine."""
        return statistics.median(ours / theirs for ours, theirs in zip(self.ours, self.reference, strict=True))


def main() -> int:
    """Measure and print. Gives 1 when ours is below the limit."""
    options = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="recognizer-bench-") as scratch:
        folder = write_photos(Path(scratch) / "photos", count=options.photos)
        figures = measure(folder, batch_size=options.batch_size, rounds=options.rounds)
    print(to_text(figures))
    if options.json:
        content = {**asdict(figures), "ratio": figures.ratio, "limit": LIMIT}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0 if figures.ratio >= LIMIT else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.training",
        description="Photos a second of a full fine-tune of MobileNetV2: ours, and torchvision's reference loop.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photos", type=int, default=128, help="in the data set (default: 128)")
    parser.add_argument("--batch-size", type=int, default=32, help="default: 32")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each, in turns (default: 3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def write_photos(folder: Path, *, count: int) -> Path:
    """JPEGs of 500x375 pixels in a folder for each of four classes."""
    folder.mkdir()
    photo = Image.open(write_photo(folder.parent, PHOTO))
    for number in range(count):
        path = folder / f"class_{number % NUM_CLASSES}" / f"{number:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.rotate(number).save(path, quality=88)
    return folder


def measure(folder: Path, *, batch_size: int, rounds: int) -> Figures:
    """Epochs of ours and of the reference in turns, after one of each that does not count."""
    device = choose_device("auto")
    machine = Machine(device, choose_precision("auto", device), Place())
    ours = our_epochs(folder, machine, batch_size=batch_size)
    theirs = reference_epochs(folder, device, batch_size=batch_size)
    pairs = [(next(ours), next(theirs)) for _ in range(rounds + 1)][1:]
    return Figures(
        ours=[one for one, _ in pairs],
        reference=[other for _, other in pairs],
        device=device.type,
        precision=str(machine.precision).removeprefix("torch."),
        num_threads=torch.get_num_threads(),
    )


def our_epochs(folder: Path, machine: Machine, *, batch_size: int) -> Iterator[float]:
    """Photos a second of one epoch after the other, by the parts of which `manage.py train` is made."""
    config = TrainConfig(
        "mobilenet_v2", image_size=SIZE, batch_size=batch_size, epochs=1000, optimizer="sgd", lr=RATE, warmup=0
    )
    dataset = load_dataset(folder)
    split = Split(dataset, dataset.only(dataset.photos[:: len(dataset.photos) // NUM_CLASSES]), dataset.only([]))
    preprocessing = build_preprocessing(config)
    materials = read_materials(split, config, preprocessing, warn=print, watch=UNWATCHED)
    prepared = prepare_network(config, num_classes=NUM_CLASSES, device=machine.device)
    plan = build_plan(prepared, materials, preprocessing, config=config, machine=machine)
    learning = start_learning(plan.learner, config, head=plan.head)
    with UNWATCHED.count("training", 0, unit="step") as count:
        while True:
            started = time.monotonic()
            train_epoch(plan.learner, learning, plan.lesson, count)
            learning.epoch += 1
            yield len(dataset.photos) // batch_size * batch_size / (time.monotonic() - started)


def reference_epochs(folder: Path, device: torch.device, *, batch_size: int) -> Iterator[float]:
    """Photos a second of one epoch after the other, as torchvision's reference trains."""
    crop = v2.RandomResizedCrop(SIZE, scale=(0.4, 1.0), antialias=True)
    scale = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    dataset = ImageFolder(folder, v2.Compose([crop, v2.RandomHorizontalFlip(), *scale]))
    loader = DataLoader(dataset, batch_size, shuffle=True, num_workers=os.cpu_count() or 1, drop_last=True)
    model = torchvision.models.mobilenet_v2(num_classes=NUM_CLASSES).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    while True:
        started = time.monotonic()
        for images, targets in loader:
            loss = nn.functional.cross_entropy(model(images.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # the reference's metric logger reads it in every step
        yield len(loader) * batch_size / (time.monotonic() - started)


def to_text(figures: Figures) -> str:
    """A line for each loop, and the ratio beside its limit."""
    ours, theirs = statistics.median(figures.ours), statistics.median(figures.reference)
    about = f"{figures.device}, {figures.num_threads} threads, median of {len(figures.ours)} epochs in turns"
    return (
        f"full fine-tune of mobilenet_v2 at {SIZE} pixels, {about}\n"
        f"  ours       {ours:8.1f} photos/s  ({figures.precision}, channels_last, photos decoded once)\n"
        f"  reference  {theirs:8.1f} photos/s  (float32, contiguous, photos decoded in every epoch)\n"
        f"  ratio      {figures.ratio:8.2f}           (limit {LIMIT})"
    )


if __name__ == "__main__":
    sys.exit(main())
