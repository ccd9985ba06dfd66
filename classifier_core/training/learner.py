"""What changes while a network learns, and the loss that changes it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from classifier_core.training.augmentation import mixup_share
from classifier_core.training.config import TrainConfig
from classifier_core.training.optimisation import build_average, build_optimizer
from classifier_core.training.teacher import Teacher, count_inputs, feature_loss, score_loss

NO_LABEL = -1  # the target of a photo that only the teacher judges


class Learner(nn.Module):
    """The network; with a teacher of features also what its head was given, projected to the teacher's features."""

    def __init__(self, network: nn.Module, *, head: str, num_projected: int = 0) -> None:
        super().__init__()
        self.network = network
        self._seen: list[torch.Tensor] = []
        if num_projected:
            layer = network.get_submodule(head)
            self.projector = nn.Linear(count_inputs(layer), num_projected)
            layer.register_forward_pre_hook(self._note)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits [N, K], and projected features [N, F]."""
        logits = self.network(inputs)
        if not self._seen:
            return logits, None
        features = self._seen.pop()
        return logits, self.projector(features.mean((2, 3)) if features.ndim == 4 else features)

    def _note(self, _layer: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if self.training:
            self._seen[:] = [args[0]]


@dataclass
class Learning:
    """Everything that an epoch changes; a checkpoint holds exactly this."""

    learner: Learner
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    epoch: int = 0  # finished ones
    best_epoch: int = 0
    best: tuple[float, ...] = ()  # what was best about it; more is better

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the average, where there is one."""
        return self.learner.network if self.average is None else self.average.module.get_submodule("network")


def start_learning(learner: Learner, config: TrainConfig, *, head: str) -> Learning:
    """Before the first epoch. `head` is the name of the network's head; empty: the network is nothing but a head."""
    name = f"network.{head}" if head else ""
    optimizer = build_optimizer(learner, config, head=name)
    return Learning(learner, optimizer, build_average(learner, config.ema))


@dataclass(frozen=True)
class Objective:
    """The loss of one step."""

    config: TrainConfig
    class_weights: torch.Tensor | None = None
    teacher: Teacher | None = None

    def __call__(
        self, learner: Any, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the logits [N, K] of inputs that may have been mixed; `targets` name their larger share."""
        share = mixup_share(self.config.mixup, generator)
        if share < 1:
            inputs = inputs * share + inputs.roll(1, 0) * (1 - share)
        logits, projected = learner(inputs)
        loss = self._label_loss(logits, targets) * share
        if share < 1:
            loss = loss + self._label_loss(logits, targets.roll(1)) * (1 - share)
        return self._taught(loss, inputs, logits, projected), logits

    def _label_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        losses = functional.cross_entropy(
            logits.float(),
            targets,
            weight=self.class_weights,
            ignore_index=NO_LABEL,
            label_smoothing=self.config.label_smoothing,
            reduction="none",
        )
        return losses.sum() / (targets != NO_LABEL).sum().clamp(min=1)

    def _taught(
        self, loss: torch.Tensor, inputs: torch.Tensor, logits: torch.Tensor, projected: torch.Tensor | None
    ) -> torch.Tensor:
        if self.teacher is None:
            return loss
        config, (scores, features) = self.config, self.teacher.judge(inputs)
        from_scores = score_loss(logits.float(), scores.float(), temperature=config.teacher_temperature)
        loss = (1 - config.teacher_weight) * loss + config.teacher_weight * from_scores
        if projected is None:
            return loss
        return loss + config.feature_weight * feature_loss(projected.float(), features.float())
