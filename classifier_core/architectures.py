"""Networks by name, from timm and torchvision. Weights are never downloaded."""

import difflib
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from torch import nn

from classifier_core.artifact import Artifact, Tensor
from classifier_core.errors import ArtifactInvalid, ClassifierError, UnknownArchitecture

Outputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# Auxiliary heads only help training from scratch, and would be the last layer with the right number of outputs.
_TORCHVISION_EXTRAS: dict[str, dict[str, bool]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


@cache
def list_architectures() -> tuple[str, ...]:
    """Every name `build_model` takes without a prefix, sorted."""
    return tuple(sorted({*timm.list_models(), *_torchvision_names()}))


def build_model(name: str, *, num_classes: int, in_channels: int = 3) -> nn.Module:
    """A network with fresh random weights and a head for `num_classes`.

    A plain name is looked up in timm, then in torchvision: `resnet18` is timm's, `mobilenet_v2`, which timm does not
    know, is torchvision's. `timm/resnet18` and `torchvision/resnet18` say which.

    Raises UnknownArchitecture.
    """
    library, _, plain = name.rpartition("/")
    if library in ("", "timm") and timm.is_model(plain):
        model: nn.Module = timm.create_model(plain, pretrained=False, num_classes=num_classes, in_chans=in_channels)
        return model
    if library in ("", "torchvision") and plain in _torchvision_names():
        return _build_torchvision(plain, num_classes=num_classes, in_channels=in_channels)
    raise UnknownArchitecture(f"There is no architecture named {name!r}. {_suggestion(plain)}")


def restore_model(artifact: Artifact) -> nn.Module:
    """The artifact's network with its weights, float32, ready to answer (eval mode).

    Raises UnknownArchitecture, ArtifactInvalid when weights and architecture do not fit.
    """
    model = build_model(artifact.architecture, num_classes=artifact.num_classes, in_channels=artifact.in_channels)
    state = OrderedDict((name, torch.from_numpy(np.array(tensor))) for name, tensor in artifact.load_state().items())
    # The layers' version numbers, without which MNASNet takes its own weights for those of an older shape.
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        words = f"{artifact.folder}: the weights do not fit the architecture {artifact.architecture}: {error}"
        raise ArtifactInvalid(words) from error
    return model.eval()


def numpy_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights as `save_artifact` takes them."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


class ObservedNetwork(nn.Module):
    """A network whose forward gives logits [N, K], pooled features [N, F] and the last feature map [N, C, h, w].

    Which layers these are is found by one dry run, so that it works for every architecture: the head is the last
    layer with one output per class, the feature map is the last thing with a height and a width ahead of it. Where
    the head itself is a convolution (SqueezeNet), the features are the mean over its input.

    Raises ClassifierError when the network has no such layers.
    """

    def __init__(self, network: nn.Module, *, num_classes: int, in_channels: int, size: int) -> None:
        super().__init__()
        self.network = network.eval()  # before the dry run, which must not move batch-norm statistics
        self._seen: dict[str, torch.Tensor] = {}
        order = _dry_run(network, torch.zeros(1, in_channels, size, size))
        self.head = _find_head(network, order, num_classes)
        network.get_submodule(self.head).register_forward_pre_hook(self._keep_features)
        source = _find_feature_map(order, self.head)
        network.get_submodule(source).register_forward_hook(self._keep_feature_map)
        self.eval()

    def forward(self, images: torch.Tensor) -> Outputs:
        """Normalised images [N, C, H, W] in, (logits, features, feature_map) out."""
        logits = self.network(images)
        features = self._seen.pop("features")
        pooled = features.mean((2, 3)) if features.ndim == 4 else features
        return logits, pooled, self._seen.pop("feature_map")

    def _keep_features(self, _module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        self._seen["features"] = args[0]

    def _keep_feature_map(self, _module: nn.Module, _args: object, output: torch.Tensor) -> None:
        self._seen["feature_map"] = output


def _torchvision_names() -> frozenset[str]:
    return frozenset(torchvision.models.list_models(module=torchvision.models))


def _build_torchvision(name: str, *, num_classes: int, in_channels: int) -> nn.Module:
    extras: Mapping[str, Any] = _TORCHVISION_EXTRAS.get(name, {})
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **extras)
    if in_channels != 3:
        _replace_first_convolution(model, in_channels)
    return model


def _replace_first_convolution(model: nn.Module, in_channels: int) -> None:
    path, first = next((path, layer) for path, layer in model.named_modules() if isinstance(layer, nn.Conv2d))
    layer = nn.Conv2d(
        in_channels,
        first.out_channels,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]  # a pair for Conv2d, typed wider
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    parent, _, child = path.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, list_architectures(), n=3)
    return f"Did you mean {', '.join(close)}?" if close else "list_architectures() gives all names."


def _dry_run(network: nn.Module, image: torch.Tensor) -> list[tuple[str, torch.Size]]:
    """Names and output shapes of all layers, in the order in which they finished."""
    order: list[tuple[str, torch.Size]] = []

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                order.append((name, output.shape))

        return hook

    handles = [layer.register_forward_hook(note(name)) for name, layer in network.named_modules() if name]
    with torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    return order


def _find_head(network: nn.Module, order: list[tuple[str, torch.Size]], num_classes: int) -> str:
    for name, shape in reversed(order):
        if isinstance(network.get_submodule(name), nn.Linear | nn.Conv2d) and shape[1] == num_classes:
            return name
    raise ClassifierError(f"No layer of this network gives {num_classes} scores.")


def _find_feature_map(order: list[tuple[str, torch.Size]], head: str) -> str:
    before = order[: [name for name, _ in order].index(head)]
    for name, shape in reversed(before):
        if len(shape) == 4 and shape[2] * shape[3] > 1:
            return name
    raise ClassifierError("This network has no feature map ahead of its head.")
