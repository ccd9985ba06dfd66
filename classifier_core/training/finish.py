"""The end of a run: its best weights judged on every part, calibrated, and made an artifact with a report."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import nn

from classifier_core.artifact import Calibration
from classifier_core.calibration import Answers, Judgement, fit_judgement
from classifier_core.datasets.duplicates import group_near_duplicates
from classifier_core.datasets.splits import Split
from classifier_core.engines.parity import softmax
from classifier_core.errors import TrainingFailed
from classifier_core.metrics import accuracy_interval, measure
from classifier_core.training import run_folder
from classifier_core.training.attention import draw_attention
from classifier_core.training.config import TrainConfig
from classifier_core.training.judging import Judged, answer, judge_part, restore_best
from classifier_core.training.materials import find_photos
from classifier_core.training.packing import Packaging, size_of, write_artifact
from classifier_core.training.run_report import write_report


def finish(
    folder: Path,
    config: TrainConfig,
    split: Split,
    *,
    device: torch.device,
    packaging: Packaging,
    say: Callable[[str], None],
) -> None:
    """Write the artifact, `report.html` and, last, `results.json`. May be called again after it was interrupted.

    Raises TrainingFailed, ArtifactInvalid, OSError.
    """
    say("Judging the best weights.")
    num_classes = len(split.train.labels)
    network = restore_best(folder, config, num_classes=num_classes, half=packaging.half).to(device)
    parts = _judge_parts(network, config, split, say)
    strangers = _strangers(network, config, packaging, num_classes)
    judgement = _calibrate(parts, strangers, num_known=packaging.num_known)
    results = _results(folder, parts, judgement.calibration) | {"packaging": packaging.describe()}
    artifact = write_artifact(folder, config, network, results=results, judgement=judgement, packaging=packaging)
    results["artifact"] = {"sha256": artifact.sha256, "num_bytes": size_of(artifact)}
    judged = parts.get("test", parts["val"])
    attention = _attention(network, judged, config, say)
    write_report(folder, config, results, parts=parts, known=artifact.load_known_rule(), attention=attention)
    run_folder.write_json(folder / run_folder.RESULTS, results)


def _judge_parts(
    network: nn.Module, config: TrainConfig, split: Split, say: Callable[[str], None]
) -> dict[str, Judged]:
    parts = {name: judge_part(network, split.parts()[name], config) for name in ("train", "val")}
    if split.test.photos:
        try:
            parts["test"] = judge_part(network, split.test, config)
        except TrainingFailed as error:
            say(f"There are no figures on test photos. {error}")
        else:
            left_out = len(split.test.photos) - len(parts["test"].dataset.photos)
            if left_out:
                say(f"Left out, because they cannot be read: {left_out} of {len(split.test.photos)} test photos.")
    return parts


def _attention(
    network: nn.Module, judged: Judged, config: TrainConfig, say: Callable[[str], None]
) -> list[tuple[Image, str]]:
    try:
        return draw_attention(network, judged, config)
    except RuntimeError as error:  # torch, of a network whose feature map its answer does not come from
        say(f"There are no class activation maps of this network: {error}.")
        return []


def _strangers(network: nn.Module, config: TrainConfig, packaging: Packaging, num_classes: int) -> Answers | None:
    if packaging.strangers is None:
        return None
    answers, _ = answer(network, find_photos(packaging.strangers), config, num_classes=num_classes)
    return answers


def _calibrate(parts: Mapping[str, Judged], strangers: Answers | None, *, num_known: int) -> Judgement:
    train, val = parts["train"], parts["val"]
    return fit_judgement(
        train.answers,
        train.dataset.targets,
        held_out=val.answers,
        held_out_targets=val.dataset.targets,
        labels=train.dataset.labels,
        strangers=strangers,
        num_known=num_known,
    )


def _results(folder: Path, parts: Mapping[str, Judged], calibration: Calibration) -> dict[str, Any]:
    log = run_folder.read_log(folder)
    about = run_folder.read_json(folder / run_folder.NETWORK)
    return {
        **about,
        "epochs": len(log),
        "best_epoch": run_folder.best_epoch(folder),
        "train_seconds": round(sum(entry["seconds"] for entry in log), 1),
        "temperature": calibration.temperature,
        "parts": {name: _figures(judged, calibration.temperature) for name, judged in parts.items()},
    }


def _figures(judged: Judged, temperature: float) -> dict[str, Any]:
    targets, logits = judged.dataset.targets, judged.answers.logits
    metrics = measure(targets, softmax(logits, temperature=temperature), labels=judged.dataset.labels)
    groups = group_near_duplicates(judged.dataset.photos)
    interval = accuracy_interval(logits.argmax(1) == targets, groups=groups)
    return {**metrics.to_dict(), "accuracy_interval": interval}
