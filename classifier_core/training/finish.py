"""The end of a run: its best weights judged on every part, calibrated, and made an artifact with a report."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from classifier_core.architectures import ObservedNetwork, build_model, numpy_state, resolve_architecture
from classifier_core.artifact import Artifact, Calibration, LabelEntry, save_artifact
from classifier_core.calibration import fit_temperature
from classifier_core.datasets.duplicates import group_near_duplicates
from classifier_core.datasets.folder import Dataset
from classifier_core.datasets.splits import Split
from classifier_core.engines.parity import softmax
from classifier_core.metrics import Metrics, accuracy_interval, measure
from classifier_core.training import run_folder
from classifier_core.training.checkpoint import read_state
from classifier_core.training.config import TrainConfig
from classifier_core.training.examples import Normaliser, Serve, served_photos
from classifier_core.training.network import build_preprocessing, observe
from classifier_core.training.pictures import read_pictures
from classifier_core.training.run_report import write_report
from classifier_core.training.sampling import batches

_BATCH = 32

Names = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Judged:
    """A part of the data as the finished network sees it."""

    dataset: Dataset
    logits: npt.NDArray[np.float32]  # [N, K]
    features: npt.NDArray[np.float32]  # [N, F]

    def metrics(self, temperature: float) -> Metrics:
        """The figures of the calibrated scores."""
        scores = softmax(self.logits, temperature=temperature)
        return measure(self.dataset.targets, scores, labels=self.dataset.labels)


def finish(
    folder: Path,
    config: TrainConfig,
    split: Split,
    *,
    device: torch.device,
    names: Names,
    half: bool,
    say: Callable[[str], None],
) -> None:
    """Write the artifact, `report.html` and, last, `results.json`. May be called again after it was interrupted.

    Raises DatasetInvalid, ArtifactInvalid, OSError.
    """
    say("Judging the best weights.")
    network = restore_best(folder, config, num_classes=len(split.train.labels), half=half).to(device)
    parts = {name: judge_part(network, part, config) for name, part in split.parts().items() if part.photos}
    temperature = fit_temperature(parts["val"].logits, parts["val"].dataset.targets)
    results = _results(folder, parts, temperature)
    artifact = _write_artifact(folder, config, network, results, names=names, half=half)
    results["artifact"] = {"sha256": artifact.sha256, "num_bytes": _size_of(artifact)}
    write_report(folder, config, results, parts=parts)
    run_folder.write_json(folder / run_folder.RESULTS, results)


def restore_best(folder: Path, config: TrainConfig, *, num_classes: int, half: bool = False) -> nn.Module:
    """The network of the best epoch, ready to answer; `half`: as it answers once it is stored in half precision."""
    network = build_model(config.arch, num_classes=num_classes, in_channels=config.channels)
    state = read_state(folder / run_folder.BEST)
    network.load_state_dict({name: _rounded(tensor) if half else tensor for name, tensor in state.items()})
    return network.eval()


def judge_part(network: nn.Module, part: Dataset, config: TrainConfig) -> Judged:
    """Logits and features for the readable photos of this part, as they are served."""
    preprocessing, device = build_preprocessing(config), next(network.parameters()).device
    readable, pictures, _ = read_pictures(part, preprocessing.load, max_bytes=config.cache_bytes)
    observed = observe(network, preprocessing, num_classes=len(part.labels))
    serve = served_photos(pictures, Normaliser(preprocessing, device))
    logits, features = _run(observed, serve, len(pictures))
    return Judged(readable, logits, features)


@torch.inference_mode()
def _run(
    observed: ObservedNetwork, serve: Serve, count: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    outputs = [observed(serve(numbers)) for numbers in batches(range(count), _BATCH)]
    logits, features = (torch.cat([output[index] for output in outputs]).cpu().numpy() for index in (0, 1))
    return logits, features


def _results(folder: Path, parts: Mapping[str, Judged], temperature: float) -> dict[str, Any]:
    log = run_folder.read_log(folder)
    about = run_folder.read_json(folder / run_folder.NETWORK)
    best = run_folder.best_epoch(folder)
    return {
        **about,
        "epochs": len(log),
        "best_epoch": best,
        "train_seconds": round(sum(entry["seconds"] for entry in log), 1),
        "temperature": temperature,
        "parts": {name: _figures(judged, temperature) for name, judged in parts.items()},
    }


def _figures(judged: Judged, temperature: float) -> dict[str, Any]:
    is_right = judged.logits.argmax(1) == judged.dataset.targets
    groups = group_near_duplicates(judged.dataset.photos)
    interval = accuracy_interval(is_right, groups=groups)
    return {**judged.metrics(temperature).to_dict(), "num_groups": len(set(groups)), "accuracy_interval": interval}


def _write_artifact(
    folder: Path, config: TrainConfig, network: nn.Module, results: Mapping[str, Any], *, names: Names, half: bool
) -> Artifact:
    path, data = folder / run_folder.ARTIFACT, run_folder.read_json(folder / run_folder.DATA)
    shutil.rmtree(path, ignore_errors=True)  # of a run that was killed before its results were written
    return save_artifact(
        path,
        state=numpy_state(network),
        architecture=resolve_architecture(config.arch),
        head=results["head"],
        labels=[LabelEntry(key, dict(names.get(key, {}))) for key in data["labels"]],
        preprocessing=build_preprocessing(config),
        calibration=Calibration(results["temperature"]),
        provenance=_provenance(config, data, results),
        half=half,
    )


def _provenance(config: TrainConfig, data: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    part = "test" if "test" in results["parts"] else "val"
    figures = results["parts"][part]
    return {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        # Names only: paths say something about the machine, and nothing about the model.
        "config": config.to_dict()
        | {
            name: Path(value).name
            for name in ("pretrained", "teacher", "more_photos")
            if (value := getattr(config, name))
        },
        "start": results["start"],
        "data": {
            "name": data["name"],
            "parts": {name: {key: one[key] for key in ("num_images", "sha256")} for name, one in data["parts"].items()},
        },
        "best_epoch": results["best_epoch"],
        "evaluations": [
            {
                "dataset": f"{data['name']} ({part})",
                "dataset_sha256": data["parts"][part]["sha256"],
                "num_images": figures["num_images"],
                "accuracy": figures["accuracy"],
                "macro_recall": figures["macro_recall"],
                "metrics": {key: figures[key] for key in ("macro_f1", "nll", "ece", "accuracy_interval")},
            }
        ],
    }


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().float() if tensor.dim() >= 2 and tensor.dtype == torch.float32 else tensor


def _size_of(artifact: Artifact) -> int:
    return sum(path.stat().st_size for path in artifact.folder.iterdir() if path.is_file())
