"""The loop: epochs of steps, each epoch judged on validation. Plain torch."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from classifier_core.engines.parity import softmax
from classifier_core.errors import TrainingFailed
from classifier_core.metrics import Metrics, measure
from classifier_core.training.config import TrainConfig
from classifier_core.training.device import Machine
from classifier_core.training.examples import Draw, Serve
from classifier_core.training.learner import NO_LABEL, Learning, Objective
from classifier_core.training.optimisation import rate_at, set_rate
from classifier_core.training.processes import add_up, gather, share_gradients, share_statistics
from classifier_core.training.randomness import generator_for, seed_of
from classifier_core.training.sampling import Targets, batches, epoch_batches
from classifier_core.training.watching import UNWATCHED, Count, Figures, Watch

_AUGMENT, _DROPOUT = 2, 3  # purposes of random numbers; sampling has 1


@dataclass(frozen=True)
class Lesson:
    """What is learned, and what it is judged by."""

    config: TrainConfig
    labels: tuple[str, ...]
    draw: Draw
    targets: Targets  # of the photos that `draw` knows; NO_LABEL where only the teacher judges
    serve: Serve
    val_targets: Targets
    objective: Objective
    machine: Machine

    def steps(self, epoch: int) -> list[list[int]]:
        """The photo numbers of each step of this process."""
        return epoch_batches(
            self.targets,
            batch_size=self.config.batch_size,
            epoch=epoch,
            seed=self.config.seed,
            is_balanced=self.config.balance == "sampling",
            place=self.machine.place,
        )


def fit(
    learning: Learning, lesson: Lesson, *, after_epoch: Callable[[Figures], None], watch: Watch = UNWATCHED
) -> None:
    """Train until the last epoch, or until validation has not improved for `patience` epochs.

    `after_epoch` gets each epoch's figures, in every process. Raises TrainingFailed when the loss is no number.
    """
    config, learner = lesson.config, share_gradients(learning.learner, lesson.machine.place)
    num_steps = len(lesson.steps(1))
    total, done = config.epochs * num_steps, learning.epoch * num_steps
    with watch.count("training", total, unit="step", done=done) as count:
        while learning.epoch < config.epochs and not _is_stuck(learning, config):
            started = time.monotonic()
            train = train_epoch(learner, learning, lesson, count)
            seconds = time.monotonic() - started
            val = judge(learning.judged, lesson)
            learning.epoch += 1
            quality = _quality(val, config)
            if quality > learning.best:
                learning.best, learning.best_epoch = quality, learning.epoch
            count.bar.set_postfix(validation=f"{val['accuracy']:.3f}", best=learning.best_epoch)
            figures = _figures(learning, train, val, seconds=seconds)
            after_epoch(figures)
            watch.on_epoch(figures)


def train_epoch(learner: nn.Module, learning: Learning, lesson: Lesson, count: Count) -> Figures:
    """One pass over the photos; the figures are those on the photos as they were changed at random."""
    epoch, config, rank = learning.epoch + 1, lesson.config, lesson.machine.place.rank
    torch.manual_seed(seed_of(config.seed, _DROPOUT, epoch, rank))
    _set_mode(learning.learner)
    steps, seen = lesson.steps(epoch), []
    for step, numbers in enumerate(steps):
        set_rate(learning.optimizer, rate_at(epoch - 1 + step / len(steps), config))
        generator = generator_for(config.seed, _AUGMENT, epoch, step, rank)
        try:
            seen.append(train_step(learner, learning, lesson, numbers, generator))
        except ValueError as error:  # torch, of a norm over a single value
            raise TrainingFailed(f"{error}. Raise --batch-size or --image-size.") from error
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                "The GPU has too little memory for this. Lower --batch-size or --image-size."
            ) from error
        count.add()
    loss, targets, logits = _split(gather(torch.cat(seen), lesson.machine.place))
    if not np.isfinite(loss):
        raise TrainingFailed(f"The loss is no number any more in epoch {epoch}. Try a lower learning rate (--lr).")
    return {"loss": loss, **_without_confusion(measure(targets, softmax(logits), labels=lesson.labels))}


def train_step(
    learner: nn.Module, learning: Learning, lesson: Lesson, numbers: list[int], generator: torch.Generator
) -> torch.Tensor:
    """Learn from these photos. Gives a row for each: the loss, the class, the logits [N, 2 + K]."""
    targets = torch.from_numpy(lesson.targets[numbers]).to(lesson.machine.device)
    inputs = lesson.draw(numbers, generator)
    with _autocast(lesson):
        loss, logits = lesson.objective(learner, inputs, targets, generator)
    loss.backward()  # type: ignore[no-untyped-call]
    learning.optimizer.step()
    learning.optimizer.zero_grad()
    if learning.average is not None:
        learning.average.update_parameters(learning.learner)
    rows = torch.stack([loss.detach().float().expand(len(targets)), targets.float()], 1)
    return torch.cat([rows, logits.detach().float()], 1)


@torch.inference_mode()
def judge(network: nn.Module, lesson: Lesson) -> Figures:
    """The figures on validation photos as they are served, in float32."""
    network.eval()
    share_statistics(network, lesson.machine.place)
    logits = torch.zeros(len(lesson.val_targets), len(lesson.labels), device=lesson.machine.device)
    mine = range(lesson.machine.place.rank, len(logits), lesson.machine.place.num_processes)
    for numbers in batches(mine, max(1, lesson.config.batch_size)):
        logits[numbers] = network(lesson.serve(numbers)).float()
    scores = softmax(add_up(logits, lesson.machine.place).cpu().numpy())
    if not np.isfinite(scores).all():
        raise TrainingFailed("The network gives no numbers any more. Try a lower learning rate (--lr).")
    metrics = measure(lesson.val_targets, scores, labels=lesson.labels)
    return {"loss": metrics.nll, **_without_confusion(metrics)}


def _set_mode(learner: nn.Module) -> None:
    learner.train()
    for module in learner.modules():
        # The statistics of a frozen layer stay those its weights were trained with.
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not _learns(module):
            module.eval()


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _autocast(lesson: Lesson) -> AbstractContextManager[object]:
    if lesson.machine.precision == torch.float32:
        return nullcontext()
    return torch.autocast(lesson.machine.device.type, dtype=lesson.machine.precision)


def _is_stuck(learning: Learning, config: TrainConfig) -> bool:
    return 0 < config.patience <= learning.epoch - learning.best_epoch


def _quality(val: Figures, config: TrainConfig) -> tuple[float, ...]:
    # Few photos give few different accuracies; the loss says which of two equal ones is surer.
    return (-val["loss"],) if config.best == "loss" else (val[config.best], -val["loss"])


def _split(rows: torch.Tensor) -> tuple[float, Targets, npt.NDArray[np.float32]]:
    values = rows.cpu().numpy()
    labelled = values[values[:, 1] != NO_LABEL]
    return float(values[:, 0].mean()), labelled[:, 1].astype(np.int64), labelled[:, 2:]


def _without_confusion(metrics: Metrics) -> Figures:
    # K x K numbers in each line of the log would drown the rest; the last epoch's are in the report.
    return {name: value for name, value in metrics.to_dict().items() if name != "confusion"}


def _figures(learning: Learning, train: Figures, val: Figures, *, seconds: float) -> Figures:
    return {
        "epoch": learning.epoch,
        "lr": learning.optimizer.param_groups[0]["lr"],
        "seconds": round(seconds, 3),
        "images_per_second": round(train["num_images"] / max(seconds, 1e-9), 1),
        "train": train,
        "val": val,
    }
