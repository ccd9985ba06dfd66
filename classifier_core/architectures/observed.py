"""A network that also shows what its head was given: pooled features and the last feature map."""

from typing import Any

import torch
from torch import nn

from classifier_core.errors import ClassifierError

Outputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


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
