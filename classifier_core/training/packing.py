"""The artifact of a run."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from classifier_core.architectures import numpy_state, resolve_architecture
from classifier_core.artifact import MANIFEST, WEIGHTS, Artifact, LabelEntry, save_artifact
from classifier_core.calibration import Judgement
from classifier_core.datasets.folder import hash_or_nothing
from classifier_core.errors import TrainingFailed
from classifier_core.known import MAX_VECTORS, NEIGHBOURS
from classifier_core.training import run_folder
from classifier_core.training.config import TrainConfig
from classifier_core.training.materials import find_photos
from classifier_core.training.network import build_preprocessing

_PATHS = ("pretrained", "teacher", "more_photos")


@dataclass(frozen=True)
class Packaging:
    """What goes into the artifact besides what was learned."""

    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of the labels, by language
    half: bool = False  # weights in half precision
    strangers: Path | None = None  # photos of none of the classes, to be told apart from known ones
    num_known: int = MAX_VECTORS  # training photos whose features tell strangers; 2.6 kB each for most networks
    origin: Mapping[str, Any] = field(default_factory=dict)  # more of what the artifact says about where it comes from
    when_stopped: bool = False  # by Ctrl-C: an artifact of the best epoch so far, too

    def check(self, labels: Sequence[str]) -> list[str]:
        """What is odd about it, in words. Raises TrainingFailed before a run starts that could not end."""
        if not NEIGHBOURS <= self.num_known <= MAX_VECTORS:
            raise TrainingFailed(f"Give --known-photos {NEIGHBOURS} to {MAX_VECTORS}: so many an artifact carries.")
        if self.strangers is not None:
            find_photos(self.strangers)
        other = sorted(set(self.names) - set(labels))
        return [f"Names of what is no class are passed over: {', '.join(other)}."] if other else []

    def describe(self) -> dict[str, Any]:
        """Plain values that differ where the artifacts would."""
        photos = find_photos(self.strangers) if self.strangers else []
        hashes = sorted(map(hash_or_nothing, photos))
        strangers = hashlib.sha256("\n".join(hashes).encode()).hexdigest() if photos else None
        return {
            "names": {key: dict(names) for key, names in self.names.items()},
            "half": self.half,
            "strangers": strangers,
            "num_known": self.num_known,
            "origin": dict(self.origin),
        }


def write_artifact(
    folder: Path,
    config: TrainConfig,
    network: nn.Module,
    *,
    results: Mapping[str, Any],
    judgement: Judgement,
    packaging: Packaging,
) -> Artifact:
    """Write it into the run's folder. Raises ArtifactInvalid, OSError."""
    path, data = folder / run_folder.ARTIFACT, run_folder.read_json(folder / run_folder.DATA)
    shutil.rmtree(path, ignore_errors=True)  # of a run that was killed before its results were written
    return save_artifact(
        path,
        state=numpy_state(network),
        architecture=resolve_architecture(config.arch),
        head=results["head"],
        labels=[LabelEntry(key, dict(packaging.names.get(key, {}))) for key in data["labels"]],
        preprocessing=build_preprocessing(config),
        calibration=judgement.calibration,
        thresholds=judgement.thresholds,
        known_features=judgement.known_features,
        provenance={**packaging.origin, **_provenance(config, data, results)},
        half=packaging.half,
    )


def size_of(artifact: Artifact) -> int:
    """Bytes of what the artifact's identity covers."""
    return sum((artifact.folder / name).stat().st_size for name in (MANIFEST, WEIGHTS))


def _provenance(config: TrainConfig, data: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    # Names only: a path says something about the machine, and nothing about the model.
    names = {name: Path(value).name for name in _PATHS if (value := getattr(config, name))}
    parts = {name: {key: one[key] for key in ("num_images", "sha256")} for name, one in data["parts"].items()}
    return {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.to_dict() | names,
        "start": results["start"],
        "data": {"name": data["name"], "parts": parts},
        "best_epoch": results["best_epoch"],
        "evaluations": [_evaluation(data, results)],
    }


def _evaluation(data: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    part = "test" if "test" in results["parts"] else "val"
    figures = results["parts"][part]
    return {
        "dataset": f"{data['name']} ({part})",
        "dataset_sha256": data["parts"][part]["sha256"],
        "num_images": figures["num_images"],
        "accuracy": figures["accuracy"],
        "macro_recall": figures["macro_recall"],
        "metrics": {key: figures[key] for key in ("macro_f1", "nll", "ece", "accuracy_interval")},
        "engine": "torch",
        "precision": "float32",
    }
