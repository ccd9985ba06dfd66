"""The network of a run: built, given its first weights, frozen where that is asked, and what a frozen part gives."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from classifier_core.architectures import ObservedNetwork, build_model, find_head
from classifier_core.artifact import MANIFEST, load_artifact
from classifier_core.errors import TrainingFailed
from classifier_core.preprocessing import Preprocessing
from classifier_core.training.config import TrainConfig
from classifier_core.training.examples import Serve
from classifier_core.training.processes import Place, add_up
from classifier_core.training.randomness import seed_of
from classifier_core.training.sampling import batches
from classifier_core.training.watching import UNWATCHED, Watch
from classifier_core.training.weights import Start, load_start

_INIT = 0  # purpose of random numbers
_CROP_SHARE = 0.875  # of the shorter side: 224 of 256, as ImageNet's networks are judged
_FEATURE_BATCH = 32


@dataclass(frozen=True)
class Prepared:
    """A network before its first epoch, and the name of the layer that gives its logits."""

    network: nn.Module
    head: str
    start: Start | None


def prepare_network(config: TrainConfig, *, num_classes: int, device: torch.device) -> Prepared:
    """The network on its device, channels_last. Raises UnknownArchitecture, TrainingFailed, ArtifactInvalid."""
    torch.manual_seed(seed_of(config.seed, _INIT))
    network = build_model(config.arch, num_classes=num_classes, in_channels=config.channels)
    head = find_head(network)
    start = load_start(network, config.pretrained) if config.pretrained else None
    _keep_inputs(network)
    if config.freeze:
        _freeze(network, head=head, missing=start.missing if start else ())
    return Prepared(network.to(device).to(memory_format=torch.channels_last), head, start)


def check_start(config: TrainConfig) -> None:
    """Raise what a run of any photos would raise for its architecture, weights or teacher."""
    prepare_network(config, num_classes=2, device=torch.device("cpu"))
    if config.teacher:
        load_artifact(config.teacher)


def build_preprocessing(config: TrainConfig) -> Preprocessing:
    """How photos are prepared, in training as in serving; mean and std are those of the weights it starts from."""
    is_artifact = bool(config.pretrained) and (Path(config.pretrained) / MANIFEST).is_file()
    theirs = load_artifact(config.pretrained).preprocessing if is_artifact else Preprocessing()
    return Preprocessing(
        method="letterbox" if config.fit == "letterbox" else "resize_crop",
        resize_size=round(config.served_at / _CROP_SHARE),
        crop_size=config.served_at,
        interpolation=theirs.interpolation,
        mean=_for_channels(theirs.mean, config.channels),
        std=_for_channels(theirs.std, config.channels),
        channels=config.channels,
    )


def served_features(
    prepared: Prepared, serves: Sequence[Serve], count: int, *, place: Place, watch: Watch = UNWATCHED
) -> torch.Tensor | None:
    """What the head is given for each of `count` photos in each of V views, [V, N, F]; each is computed once.

    None when the logits are not simply the head's answer to them (a convolution for a head): such a network has to
    run as a whole.
    """
    layer = prepared.network.get_submodule(prepared.head)
    if not isinstance(layer, nn.Linear):
        return None
    features = torch.zeros(len(serves), count, layer.in_features, device=layer.weight.device)
    mine = range(place.rank, count, place.num_processes)
    with watch.count("computing features", len(serves) * len(mine), unit="photo") as counted:
        for view, serve in enumerate(serves):
            for numbers in batches(mine, _FEATURE_BATCH):
                given, logits = _given_to(layer, prepared.network, serve(numbers))
                if not _is_answer(logits, given, layer):
                    return None
                features[view, numbers] = given
                counted.add(len(numbers))
    return add_up(features, place)


def observe(network: nn.Module, preprocessing: Preprocessing, *, num_classes: int) -> ObservedNetwork:
    """A copy of the network, ready to answer, that also gives its features."""
    device = next(network.parameters()).device
    channels, size = preprocessing.channels, preprocessing.crop_size
    observed = ObservedNetwork(copy.deepcopy(network).cpu(), num_classes=num_classes, in_channels=channels, size=size)
    return observed.to(device).to(memory_format=torch.channels_last)


@torch.no_grad()
def _given_to(layer: nn.Module, network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _layer, args: seen.append(args[0]))
    logits = network.eval()(images)
    hook.remove()
    return seen[-1], logits


def _is_answer(logits: torch.Tensor, features: torch.Tensor, layer: nn.Linear) -> bool:
    if features.shape != (len(logits), layer.in_features):
        return False
    return torch.allclose(functional.linear(features, layer.weight, layer.bias), logits, atol=1e-4)


def _keep_inputs(network: nn.Module) -> None:
    # Their gradient needs their input, which autograd copies before it is overwritten: a tenth of a step for nothing.
    for module in network.modules():
        if isinstance(module, nn.Hardtanh | nn.Hardswish | nn.SiLU):
            module.inplace = False


def _freeze(network: nn.Module, *, head: str, missing: tuple[str, ...]) -> None:
    if missing:
        raise TrainingFailed(
            f"A frozen backbone would keep random what the weights lack: {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}. Train without freezing, or name complete weights."
        )
    network.requires_grad_(False)
    network.get_submodule(head).requires_grad_(True)


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels
