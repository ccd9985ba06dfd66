"""Optimizers, learning rates and the average of the weights."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from classifier_core.training.config import TrainConfig

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]

_WARMUP_START = 0.01  # of the learning rate


def build_optimizer(network: nn.Module, config: TrainConfig, *, head: str) -> torch.optim.Optimizer:
    """The configured optimizer over all parameters that learn; each group knows its highest rate as `peak`.

    Biases and norms are not decayed: pulling them to zero only takes away what they are there for.
    """
    groups = _groups(network, config, head)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate)


def rate_at(epoch: float, config: TrainConfig) -> float:
    """Share of the highest learning rate after this many epochs: a linear rise, then a cosine down to `lrf`."""
    if epoch < config.warmup:
        return _WARMUP_START + (1 - _WARMUP_START) * epoch / config.warmup
    done = min(1.0, (epoch - config.warmup) / max(1e-9, config.epochs - config.warmup))
    return config.lrf + (1 - config.lrf) * (1 + math.cos(math.pi * done)) / 2


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Every group at this share of its highest rate."""
    for group in optimizer.param_groups:
        group["lr"] = share * group["peak"]


def build_average(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential average of weights and batch-norm statistics; it follows faster in the first steps."""
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=_moving_average(decay), use_buffers=True)


def _moving_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    @torch.no_grad()
    def update(averages: Tensors, weights: Tensors, num_averaged: torch.Tensor | int) -> None:
        steps = int(num_averaged)
        # TensorFlow's ExponentialMovingAverage with num_updates: without it, short runs keep their random start.
        slowness = min(decay, (1 + steps) / (10 + steps))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(list(averages), list(weights), 1 - slowness)
            return
        for average, weight in zip(averages, weights, strict=True):
            average.copy_(weight)

    return update


def _groups(network: nn.Module, config: TrainConfig, head: str) -> list[dict[str, object]]:
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_head = not head or name.startswith(f"{head}.")
            groups.setdefault((is_head, parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": config.learning_rate * (config.head_lr_factor if is_head else 1.0),
            "weight_decay": config.weight_decay if is_decayed else 0.0,
        }
        for (is_head, is_decayed), parameters in groups.items()
    ]
