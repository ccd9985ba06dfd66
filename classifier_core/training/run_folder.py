"""The files of a run: what was asked, on what, with what, and a line for each epoch."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from classifier_core import durable
from classifier_core.datasets.splits import Split, write_lists
from classifier_core.errors import TrainingFailed
from classifier_core.training.checkpoint import kept_epochs, read_notes
from classifier_core.training.config import TrainConfig
from classifier_core.training.device import Machine

CONFIG, DATA, ENVIRONMENT, CLASSES = "config.json", "data.json", "environment.json", "class_indices.json"
LOG, NETWORK, RESULTS = "log.jsonl", "network.json", "results.json"
CHECKPOINT, BEST, LAST = "checkpoint.safetensors", "best.safetensors", "last.safetensors"
ARTIFACT, REPORT, FIGURES = "artifact", "report.html", "figures"

_FREE = {"cache_bytes", "device"}  # options that may differ when a run goes on: they do not change what is learned


def open_run(folder: Path, config: TrainConfig, split: Split, machine: Machine, *, data_name: str) -> None:
    """Write what the run is; or see that the folder's run is this one.

    Raises TrainingFailed when another run is in the folder, OSError.
    """
    data = describe_data(split, data_name)
    if (folder / CONFIG).exists():
        _check_same(folder, config, data)
    elif machine.place.is_first:
        if folder.is_dir() and any(not _is_ours(path.name) for path in folder.iterdir()):
            raise TrainingFailed(f"{folder} holds other files. Name a new folder for the run.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / DATA, data)
        write_lists(split, folder)
        write_json(folder / CLASSES, dict(enumerate(split.train.labels)))
        write_json(folder / ENVIRONMENT, describe_environment(machine))
        write_json(folder / CONFIG, config.to_dict())  # last: with it, the folder is a run


def _is_ours(name: str) -> bool:
    """Whether a start that was interrupted may have left a file of this name."""
    ours = {DATA, CLASSES, ENVIRONMENT, "train.txt", "val.txt", "test.txt"}
    return name in ours or (name.endswith(".part") and name[1:].startswith((CONFIG, *ours)))


def describe_data(split: Split, name: str) -> dict[str, Any]:
    """Photos and classes of each part, and the hash that names exactly these photos."""
    return {
        "name": name or split.train.root.resolve().name,
        "labels": list(split.train.labels),
        "parts": {
            name: {"num_images": len(part.photos), "sha256": part.fingerprint, "classes": part.count()}
            for name, part in split.parts().items()
        },
    }


def describe_environment(machine: Machine) -> dict[str, Any]:
    """Versions and machine: what besides config and data decides a run's figures."""
    packages = ("torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "scikit-learn")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "machine": platform.machine(),
        "processor": torch.cpu.get_capabilities().get("cpu_name", "") or platform.processor(),
        "num_cores": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "num_processes": machine.place.num_processes,
        "gpu": torch.cuda.get_device_name() if machine.device.type == "cuda" else None,
        "precision": str(machine.precision).removeprefix("torch."),
    }


def append_log(folder: Path, figures: Mapping[str, Any]) -> None:
    """One more epoch, in place of what a killed process may have written for it."""
    entries = [entry for entry in read_log(folder) if entry["epoch"] < figures["epoch"]]
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in (*entries, figures)]
    durable.replace(folder / LOG, [line.encode() for line in lines])


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The epochs so far."""
    path = folder / LOG
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def learned_names(source: Path) -> set[str]:
    """The training photos of the run that this artifact or weights file lies in; none where it lies in no run."""
    return listed_names(source.parent) if (source.parent / CONFIG).is_file() else set()


def listed_names(folder: Path) -> set[str]:
    """The photos that the list train.txt in this folder names; none where there is no list."""
    path = folder / "train.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {line.partition("\t")[0] for line in lines}


def write_json(path: Path, content: object) -> None:
    """A file people read and programs parse. Raises OSError."""
    durable.replace(path, [durable.as_json(content)])


def best_epoch(folder: Path) -> int:
    """The epoch whose weights are kept as the best."""
    return int(read_notes(folder / BEST)["epoch"])


def done_epochs(folder: Path) -> int:
    """How many epochs left something: stopped between the best weights and the checkpoint, one more than that holds."""
    try:
        best = best_epoch(folder)
    except (FileNotFoundError, SafetensorError):
        best = 0
    return max(kept_epochs(folder / CHECKPOINT), best)


def read_json(path: Path) -> dict[str, Any]:
    """A file that `write_json` wrote. Raises TrainingFailed."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingFailed(f"{path} cannot be read. Delete the run's folder, or name another.") from error


def _check_same(folder: Path, config: TrainConfig, data: Mapping[str, Any]) -> None:
    then, now = read_json(folder / CONFIG), config.to_dict()
    other = sorted(name for name in now if name not in _FREE and then.get(name) != now[name])
    if other:
        differences = ", ".join(f"{name} was {then.get(name)!r} and is {now[name]!r}" for name in other)
        raise TrainingFailed(f"{folder} is a run with other options: {differences}. Repeat them, or name a new folder.")
    if read_json(folder / DATA) != data:
        raise TrainingFailed(f"{folder} is a run on other photos, or on another split of them. Name a new folder.")
