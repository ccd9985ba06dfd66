"""A finished model that judges the photos a smaller one learns from (Hinton et al. 2015, arXiv 1503.02531)."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from classifier_core.architectures import ObservedNetwork, restore_model
from classifier_core.artifact import Artifact
from classifier_core.errors import TrainingFailed
from classifier_core.training.examples import Normaliser


class Teacher:
    """Logits over the student's labels, and features, for the very pictures that the student is shown.

    It looks at pictures of `size` pixels, or as it is served. Raises TrainingFailed when it does not know all of the
    student's labels, or cannot see what the student sees.
    """

    def __init__(
        self, artifact: Artifact, *, labels: Sequence[str], normaliser: Normaliser, channels: int, size: int = 0
    ) -> None:
        preparation = artifact.preprocessing
        self._columns = _columns(artifact, labels)
        if (preparation.channels, channels) == (1, 3):
            raise TrainingFailed("The teacher sees grey pictures only; it cannot teach on coloured ones.")
        self._size = size or preparation.crop_size
        self._theirs, self._mine = normaliser, Normaliser(preparation, normaliser.device)
        self._repeats = preparation.channels // channels
        network = ObservedNetwork(
            restore_model(artifact),
            num_classes=artifact.num_classes,
            in_channels=artifact.in_channels,
            size=self._size,
        )
        self.num_features = count_inputs(network.network.get_submodule(network.head))
        self._network = network.to(normaliser.device).to(memory_format=torch.channels_last).requires_grad_(False)

    @torch.no_grad()
    def judge(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, K] and features [N, F] for images that were normalised for the student."""
        pixels = self._theirs.undo(images).repeat(1, self._repeats, 1, 1)
        if pixels.shape[-1] != self._size:
            pixels = functional.interpolate(pixels, size=self._size, mode="bilinear", antialias=True)
        logits, features, _ = self._network(self._mine.normalise(pixels))
        return logits[:, self._columns], features


def count_inputs(head: nn.Module) -> int:
    """How many features the layer that gives the logits is given."""
    if not isinstance(head, nn.Linear | nn.Conv2d):
        raise TrainingFailed("The network's head is not a layer of weights, so it has no features to compare.")
    return head.in_features if isinstance(head, nn.Linear) else head.in_channels


def score_loss(logits: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """How far the softened scores are from the teacher's; times T², so that its gradients stay as large as at T = 1."""
    theirs = functional.log_softmax(teacher / temperature, 1)
    ours = functional.log_softmax(logits / temperature, 1)
    return functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2


def feature_loss(projected: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of features [N, F], each photo's scaled to mean 0 and variance 1."""
    shape = teacher.shape[1:]
    return functional.mse_loss(functional.layer_norm(projected, shape), functional.layer_norm(teacher, shape))


def _columns(artifact: Artifact, labels: Sequence[str]) -> list[int]:
    index = {label.key: number for number, label in enumerate(artifact.labels)}
    unknown = [label for label in labels if label not in index]
    if unknown:
        raise TrainingFailed(f"The teacher does not know {unknown[0]!r}. Take one trained on the same classes.")
    return [index[label] for label in labels]
