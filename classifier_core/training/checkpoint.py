"""A run on disk between two epochs: one safetensors file, whole or absent, also after kill -9 or a power cut."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from classifier_core import durable
from classifier_core.errors import TrainingFailed
from classifier_core.training.learner import Learning

State = dict[str, torch.Tensor]

_FORMAT = "1"


def save_checkpoint(path: Path, learning: Learning) -> None:
    """Write all of it in place of the one before. Raises OSError."""
    state = {f"learner.{name}": tensor for name, tensor in learning.learner.state_dict().items()}
    if learning.average is not None:
        state |= {f"average.{name}": tensor for name, tensor in learning.average.state_dict().items()}
    for number, values in learning.optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{number}.{name}": value for name, value in values.items() if value is not None}
    place = {"epoch": learning.epoch, "best_epoch": learning.best_epoch, "best": learning.best}
    write_state(path, state, {"format": _FORMAT, "place": json.dumps(place)})


def load_checkpoint(path: Path, learning: Learning) -> None:
    """Go on from there, in place. Raises TrainingFailed when the file is not a checkpoint of this run."""
    try:
        state, place = read_state(path), json.loads(read_notes(path)["place"])
        learning.learner.load_state_dict(_under("learner.", state))
        if learning.average is not None:
            learning.average.load_state_dict(_under("average.", state))
        _restore_optimizer(learning.optimizer, _under("optimizer.", state))
        learning.epoch, learning.best_epoch = int(place["epoch"]), int(place["best_epoch"])
        learning.best = tuple(place["best"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise TrainingFailed(f"{path} is not a checkpoint of this run. Delete its folder, or name another.") from error


def kept_epochs(path: Path) -> int:
    """How many epochs the checkpoint holds; 0 where there is none yet."""
    return int(json.loads(read_notes(path)["place"])["epoch"]) if path.exists() else 0


def write_state(path: Path, state: State, notes: dict[str, str] | None = None) -> None:
    """Tensors by name, and notes in the file's header. Raises OSError."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    durable.replace(path, [save(plain, notes)])


def read_state(path: Path) -> State:
    """The tensors by name. Raises TrainingFailed."""
    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise TrainingFailed(f"{path} cannot be read: {error}. Delete the run's folder, or name another.") from error


def read_notes(path: Path) -> dict[str, str]:
    """The notes in the file's header."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def _under(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    by_parameter: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        number, _, entry = name.partition(".")
        by_parameter.setdefault(int(number), {})[entry] = tensor
    optimizer.load_state_dict({"state": by_parameter, "param_groups": optimizer.state_dict()["param_groups"]})
