"""One training run, from photos to an artifact with a report. Called again with the same folder, it goes on."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from classifier_core.architectures import measure_cost
from classifier_core.artifact import Artifact, load_artifact
from classifier_core.datasets.splits import Split
from classifier_core.errors import ClassifierError, TrainingFailed, TrainingStopped
from classifier_core.memory import keep_freed_memory
from classifier_core.training import run_folder
from classifier_core.training.checkpoint import load_checkpoint, save_checkpoint, write_state
from classifier_core.training.config import TrainConfig
from classifier_core.training.device import Machine, choose_device, choose_precision
from classifier_core.training.finish import finish
from classifier_core.training.interrupted import pack_best
from classifier_core.training.leaks import find_leaks
from classifier_core.training.learner import Learning, start_learning
from classifier_core.training.lessons import build_plan
from classifier_core.training.loop import fit
from classifier_core.training.materials import Materials, check_parts, read_materials
from classifier_core.training.network import Prepared, build_preprocessing, prepare_network
from classifier_core.training.packing import Packaging
from classifier_core.training.processes import all_agree, joined
from classifier_core.training.watching import UNWATCHED, Figures, Watch

Say = Callable[[str], None]

_PLAIN = Packaging()


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    folder: Path
    artifact: Artifact
    figures: dict[str, Any]  # results.json


def train(
    config: TrainConfig,
    split: Split,
    folder: Path | str,
    *,
    data_name: str = "",
    packaging: Packaging = _PLAIN,
    progress: Say = lambda _words: None,
    watch: Watch = UNWATCHED,
) -> RunResult | None:
    """Train, and leave in `folder` everything there is to know about it.

    `data_name` is what the data are called in reports (else the folder's name); `progress` is given sentences,
    `watch` the course, which it may stop. Under torchrun all processes call this, and only the first gets a result.

    Raises TrainingFailed, DatasetInvalid and other ClassifierErrors, OSError. Stopped by Ctrl-C, or killed, the same
    call goes on after the last finished epoch. Where `packaging` says so, Ctrl-C leaves an artifact of the best epoch.
    """
    keep_freed_memory()
    check_parts(split.train, split.val)
    odd = [*packaging.check(split.train.labels), *find_leaks(config, split)]
    folder, device = Path(folder), choose_device(config.device)
    with joined(device) as place:
        machine = Machine(device, choose_precision(config.precision, device), place)
        say = progress if place.is_first else _say_nothing
        for words in odd:
            say(words)
        _check_alike(split, machine)
        run_folder.open_run(folder, config, split, machine, data_name=data_name)
        was_learned = is_learned(folder)
        if not was_learned:
            seen_by = watch if place.is_first else UNWATCHED
            try:
                _learn(config, split, folder, machine=machine, say=say, watch=seen_by)
            except KeyboardInterrupt:
                pack = partial(pack_best, folder, config, split, device=device, packaging=packaging)
                is_packed = packaging.when_stopped and place.is_first
                raise TrainingStopped(_stopped(folder, config, pack if is_packed else None)) from None
        if place.is_first and not (was_learned and _is_packed(folder, packaging)):
            finish(folder, config, split, device=device, packaging=packaging, say=say)
    return read_result(folder) if place.is_first else None


def is_learned(folder: Path) -> bool:
    """Whether the run in this folder is finished, so that there is nothing left to train."""
    return (folder / run_folder.RESULTS).exists()


def _check_alike(split: Split, machine: Machine) -> None:
    parts = "\n".join(part.fingerprint for part in split.parts().values())
    if not all_agree(parts, machine.place, machine.device):
        raise TrainingFailed("The processes split the photos in different ways. Split them once, and name the --split.")


def read_result(folder: Path) -> RunResult:
    """What a finished run left. Raises TrainingFailed when it is not finished, ArtifactInvalid."""
    path = folder / run_folder.RESULTS
    if not path.is_file():
        raise TrainingFailed(f"{folder} holds no finished run. Train first.")
    return RunResult(folder, load_artifact(folder / run_folder.ARTIFACT), json.loads(path.read_text(encoding="utf-8")))


def _is_packed(folder: Path, packaging: Packaging) -> bool:
    """Whether the finished run's artifact is the one that is asked for: other names or strangers make another."""
    return read_result(folder).figures.get("packaging") == packaging.describe()


def _learn(config: TrainConfig, split: Split, folder: Path, *, machine: Machine, say: Say, watch: Watch) -> None:
    """Everything up to the last epoch; the folder then has the best and the last weights."""
    prepared = prepare_network(config, num_classes=len(split.train.labels), device=machine.device)
    preprocessing = build_preprocessing(config)
    materials = read_materials(split, config, preprocessing, warn=say, watch=watch)
    if config.freeze:
        say(f"Computing the features of {len(materials.targets) + len(materials.val.photos)} photos, once.")
    plan = build_plan(prepared, materials, preprocessing, config=config, machine=machine, watch=watch)
    learning = start_learning(plan.learner, config, head=plan.head)
    _resume(folder, learning, say)
    if machine.place.is_first:
        _describe(folder, config, prepared, materials)
    learned_head = "" if plan.head else prepared.head
    keep = partial(_keep, folder, learning, prepared.network, learned_head) if machine.place.is_first else _forget
    fit(learning, plan.lesson, after_epoch=keep, watch=watch)
    if machine.place.is_first:
        write_state(folder / run_folder.LAST, _whole_state(learning, prepared.network, learned_head))


def _stopped(folder: Path, config: TrainConfig, pack: Callable[[], int] | None) -> str:
    num_epochs = run_folder.done_epochs(folder)
    if not num_epochs:
        return "Stopped in the first epoch, so nothing was learned yet. The same command starts again."
    done = f"{num_epochs} of {config.epochs} epochs are done and kept in {folder}"
    return f"Stopped. {done}; the same command goes on from there.{_packed(folder, pack) if pack else ''}"


def _packed(folder: Path, pack: Callable[[], int]) -> str:
    try:
        return f" Until then {folder} can be judged and served as it was best, after epoch {pack()}."
    except (ClassifierError, OSError, SafetensorError, RuntimeError) as error:  # what was said before stays true
        return f" There is no artifact to judge or serve until then: {error}"


def _resume(folder: Path, learning: Learning, say: Say) -> None:
    path = folder / run_folder.CHECKPOINT
    if path.exists():
        load_checkpoint(path, learning)
        say(f"Going on after epoch {learning.epoch}, which {folder} holds.")


def _keep(folder: Path, learning: Learning, network: nn.Module, head: str, figures: Figures) -> None:
    # The checkpoint last: killed before it, the epoch is done again and writes the same.
    if learning.best_epoch == learning.epoch:
        notes = {"epoch": str(learning.epoch)}
        write_state(folder / run_folder.BEST, _whole_state(learning, network, head), notes)
    run_folder.append_log(folder, figures)
    save_checkpoint(folder / run_folder.CHECKPOINT, learning)


def _whole_state(learning: Learning, network: nn.Module, head: str) -> dict[str, torch.Tensor]:
    """The full network's weights, also when only its head, named `head`, is learned."""
    learned: dict[str, torch.Tensor] = learning.judged.state_dict()
    return network.state_dict() | {f"{head}.{name}": tensor for name, tensor in learned.items()} if head else learned


def _describe(folder: Path, config: TrainConfig, prepared: Prepared, materials: Materials) -> None:
    for size in (config.image_size, config.served_at):
        cost = measure_cost(prepared.network, in_channels=config.channels, size=size)
    about = {"cost": asdict(cost), "head": prepared.head, "start": asdict(prepared.start) if prepared.start else None}
    unreadable = [{"photo": one.path.name, "reason": one.reason} for one in materials.unreadable]
    run_folder.write_json(folder / run_folder.NETWORK, about | {"unreadable": unreadable})


def _say_nothing(_words: str) -> None:
    pass


def _forget(_figures: Figures) -> None:
    """What the other processes keep."""
