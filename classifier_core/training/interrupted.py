"""What a run leaves that a person stopped: an artifact of its best epoch so far, to be judged and served."""

from dataclasses import replace
from pathlib import Path

import torch

from classifier_core.artifact import Calibration
from classifier_core.calibration import Judgement, fit_temperature
from classifier_core.datasets.splits import Split
from classifier_core.engines.parity import softmax
from classifier_core.metrics import accuracy_interval, measure
from classifier_core.training import run_folder
from classifier_core.training.config import TrainConfig
from classifier_core.training.judging import judge_part, restore_best
from classifier_core.training.packing import Packaging, write_artifact

INTERRUPTED = "interrupted_at_epoch"  # in the artifact's provenance; the finished run's artifact takes its place


def pack_best(folder: Path, config: TrainConfig, split: Split, *, device: torch.device, packaging: Packaging) -> int:
    """Write the artifact of the best epoch so far, and return that epoch.

    In seconds, for a person waits: it is judged and calibrated on validation only, and tells no strangers, for which
    all training photos would have to be looked at. Raises ClassifierError, OSError, SafetensorError, RuntimeError.
    """
    network = restore_best(folder, config, num_classes=len(split.train.labels), half=packaging.half).to(device)
    val = judge_part(network, split.val, config)
    targets, logits = val.dataset.targets, val.answers.logits
    temperature = round(fit_temperature(logits, targets), 4)
    figures = measure(targets, softmax(logits, temperature=temperature), labels=val.dataset.labels).to_dict()
    figures["accuracy_interval"] = accuracy_interval(logits.argmax(1) == targets)
    results = run_folder.read_json(folder / run_folder.NETWORK) | {
        "best_epoch": run_folder.best_epoch(folder),
        "parts": {"val": figures},
    }
    marked = {**packaging.origin, INTERRUPTED: run_folder.done_epochs(folder)}
    write_artifact(
        folder,
        config,
        network,
        results=results,
        judgement=Judgement(Calibration(temperature)),
        packaging=replace(packaging, origin=marked),
    )
    return int(results["best_epoch"])
