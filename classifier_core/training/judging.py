"""The finished network's answers on photos as they are served."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from classifier_core.architectures import ObservedNetwork, build_model
from classifier_core.calibration import Answers
from classifier_core.datasets.folder import Dataset
from classifier_core.errors import TrainingFailed
from classifier_core.training import run_folder
from classifier_core.training.checkpoint import read_state
from classifier_core.training.config import TrainConfig
from classifier_core.training.examples import Normaliser, Serve, served_photos
from classifier_core.training.network import build_preprocessing, observe
from classifier_core.training.pictures import Pictures
from classifier_core.training.sampling import batches

_BATCH = 32


@dataclass(frozen=True)
class Judged:
    """The readable photos of a part of the data, and what the network says about them."""

    dataset: Dataset
    answers: Answers


def restore_best(folder: Path, config: TrainConfig, *, num_classes: int, half: bool = False) -> nn.Module:
    """The network of the best epoch, ready to answer; `half`: as it answers once it is stored in half precision.

    Raises TrainingFailed.
    """
    network = build_model(config.arch, num_classes=num_classes, in_channels=config.channels)
    state = read_state(folder / run_folder.BEST)
    network.load_state_dict({name: _rounded(tensor) if half else tensor for name, tensor in state.items()})
    return network.eval()


def judge_part(network: nn.Module, part: Dataset, config: TrainConfig) -> Judged:
    """The network's answers for this part; photos that cannot be read are left out."""
    answers, unreadable = answer(network, [photo.path for photo in part.photos], config, num_classes=len(part.labels))
    return Judged(part.only(photo for photo in part.photos if photo.path not in unreadable), answers)


def answer(
    network: nn.Module, photos: Sequence[Path], config: TrainConfig, *, num_classes: int
) -> tuple[Answers, set[Path]]:
    """Logits and features of the readable photos, in float32, and the paths of the others.

    Raises TrainingFailed when not one can be read.
    """
    preprocessing, device = build_preprocessing(config), next(network.parameters()).device
    pictures = Pictures(photos, preprocessing.load, max_bytes=config.cache_bytes)
    unreadable = {one.path for one in pictures.fill()}
    pictures = pictures.without(unreadable)
    if not len(pictures):
        raise TrainingFailed(f"Not one of {len(photos)} photos can be read, the first is {photos[0].name}.")
    observed = observe(network, preprocessing, num_classes=num_classes)
    return _run(observed, served_photos(pictures, Normaliser(preprocessing, device)), len(pictures)), unreadable


@torch.inference_mode()
def _run(observed: ObservedNetwork, serve: Serve, count: int) -> Answers:
    outputs = [observed(serve(numbers)) for numbers in batches(range(count), _BATCH)]
    logits, features = (torch.cat([output[index] for output in outputs]).cpu().numpy() for index in (0, 1))
    return Answers(logits, features)


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().float() if tensor.dim() >= 2 and tensor.dtype == torch.float32 else tensor
