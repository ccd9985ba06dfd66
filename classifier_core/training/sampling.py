"""Which photos make up each step of an epoch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from classifier_core.errors import TrainingFailed
from classifier_core.training.processes import Place
from classifier_core.training.randomness import generator_for

_PURPOSE = 1  # keeps the order's random numbers apart from the augmentation's

Targets = npt.NDArray[np.int64]


def epoch_batches(
    targets: Targets, *, batch_size: int, epoch: int, seed: int, is_balanced: bool, place: Place
) -> list[list[int]]:
    """The photo numbers of each step of this process; every process has the same number of equal steps.

    The rest that does not fill a step is left out, another one in each epoch. Balanced: drawn with replacement, each
    class as often as the others. Raises TrainingFailed when a process would have no photo in a step.
    """
    generator = generator_for(seed, _PURPOSE, epoch)
    order = _balanced_order(targets, generator) if is_balanced else torch.randperm(len(targets), generator=generator)
    size = min(batch_size, len(targets)) // place.num_processes
    if size < 1:
        raise TrainingFailed(
            f"{min(batch_size, len(targets))} photos a step do not go round among {place.num_processes} processes. "
            "Raise --batch-size, or start fewer processes."
        )
    mine = order[place.rank :: place.num_processes].tolist()
    steps = len(targets) // (size * place.num_processes)
    return [mine[step * size : (step + 1) * size] for step in range(steps)]


def class_weights(targets: Targets, *, num_classes: int) -> torch.Tensor:
    """Weights [K] that make every class count the same: scikit-learn's "balanced", N / (K * count)."""
    counts = np.bincount(targets[targets >= 0], minlength=num_classes)
    return torch.tensor(counts.sum() / (num_classes * np.maximum(counts, 1)), dtype=torch.float32)


def batches(numbers: Sequence[int], size: int) -> list[list[int]]:
    """All of them, in order."""
    return [list(numbers[start : start + size]) for start in range(0, len(numbers), size)]


def _balanced_order(targets: Targets, generator: torch.Generator) -> torch.Tensor:
    _, numbers, counts = np.unique(targets, return_inverse=True, return_counts=True)
    chances = torch.tensor(1 / counts[numbers], dtype=torch.float64)
    return torch.multinomial(chances, len(targets), replacement=True, generator=generator)
