"""What a training run is asked for, and the configuration that this means."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from classifier_core.architecture_names import why_unknown
from classifier_core.errors import TrainingFailed
from classifier_core.training.config import TrainConfig
from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.training.run_models import TrainingRun

WEIGHTS = "weights"  # below MEDIA_ROOT: safetensors files that runs may start from
FINE_TUNE = {"lr": 0.0005, "head_lr_factor": 5.0, "weight_decay": 0.05}
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"freeze": True, "epochs": 30},
    "balanced": {"epochs": 16, "ema": 0.99},
    "thorough": {
        "epochs": 50,
        "warmup": 2.0,
        "augmentation": "strong",
        "mixup": 0.2,
        "label_smoothing": 0.1,
        "ema": 0.995,
        "patience": 15,
    },
}
FROM_SCRATCH = {"lr": 0.002, "warmup": 3.0}
LONGER = 3  # so many times as many epochs for what starts knowing nothing
# What the photos of a model need, and no preset knows: a run takes it over from the version before.
SHAPE = ("image_size", "serving_size", "channels", "fit", "flip", "recolour")
# Suggestions; every name that `manage.py train --arch` takes is fine.
ARCHITECTURES = (
    "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "ghostnet_100", "efficientnet_lite0", "efficientnet_b0",
    "shufflenet_v2_x1_0", "squeezenet1_1", "mnasnet1_0", "resnet18", "resnet50", "mobilenet_v2_digits",
)  # fmt: skip


@dataclass(frozen=True)
class RunOptions:
    """How a person asks for a run."""

    start: str = "serving"  # serving, scratch, version:<id>, or file:<name in media/weights>
    preset: str = "balanced"
    architecture: str = ""  # empty: that of the version it starts from
    epochs: int | None = None  # None: as the preset has it
    image_size: int | None = None  # pixels; None: as the model has it
    seed: int = 0


@dataclass(frozen=True)
class RunStart:
    """Which weights a run starts from."""

    kind: str
    version: ModelVersion | None = None
    file: str = ""

    @property
    def weights(self) -> str:
        """What names them in the configuration, on any machine."""
        return self.version.artifact_sha256 if self.version else self.file


def find_start(model: RegisteredModel, wanted: str) -> RunStart:
    """The weights that were asked for. Raises TrainingFailed."""
    kind, _, name = wanted.partition(":")
    if kind == "scratch":
        return RunStart(TrainingRun.Start.SCRATCH)
    if kind == "file":
        if name not in weights_files():
            raise TrainingFailed(f"There is no file {name!r} in {weights_folder()}. Put a .safetensors file there.")
        return RunStart(TrainingRun.Start.WEIGHTS, file=name)
    version = model.desired_version() if kind == "serving" else _version(name)
    if version is None:
        raise TrainingFailed(f"{model.name} has no version that serves. Start from weights, or from scratch.")
    if version.is_removed:
        raise TrainingFailed(f"The artifact of {version} was removed to make room. Start from another version.")
    return RunStart(TrainingRun.Start.SERVING if kind == "serving" else TrainingRun.Start.WEIGHTS, version)


def _version(number: str) -> ModelVersion:
    # Not by isdigit(): other alphabets have digits that int() refuses.
    version = ModelVersion.objects.filter(pk=int(number)).first() if re.fullmatch("[0-9]{1,18}", number) else None
    if version is None:
        raise TrainingFailed("There is no such version to start from. Choose one of those that are offered.")
    return version


def weights_folder() -> Path:
    return Path(settings.MEDIA_ROOT) / WEIGHTS


def weights_files() -> list[str]:
    """The names of the files that a run may start from."""
    return sorted(path.name for path in weights_folder().glob("*.safetensors") if path.is_file())


def build_config(model: RegisteredModel, start: RunStart, options: RunOptions) -> TrainConfig:
    """The whole configuration. `pretrained` names the weights, and becomes a path on the machine that trains.

    Raises TrainingFailed.
    """
    if options.preset not in PRESETS:
        raise TrainingFailed(f"There is no preset {options.preset!r}. There are: {', '.join(PRESETS)}.")
    if options.architecture.strip() and (unknown := why_unknown(options.architecture.strip())):
        raise TrainingFailed(unknown)
    architecture = options.architecture.strip() or (start.version.architecture if start.version else "")
    if not architecture:
        raise TrainingFailed("Name an architecture, such as mobilenet_v2: nothing says which one it shall be.")
    values = {**_shape(model, start), **_learning(start, options)}
    if options.image_size:
        values |= {"image_size": options.image_size, "serving_size": 0}
    if values.get("freeze"):  # what is frozen sees each photo as it is served
        values |= {"image_size": values["serving_size"] or values["image_size"], "serving_size": 0}
    return TrainConfig(architecture, pretrained=start.weights, seed=options.seed, **values)


def _learning(start: RunStart, options: RunOptions) -> dict[str, Any]:
    preset = dict(PRESETS[options.preset])
    if start.kind == TrainingRun.Start.SCRATCH:
        if preset.get("freeze"):
            raise TrainingFailed("From scratch there is nothing to keep frozen. Choose balanced or thorough.")
        preset |= FROM_SCRATCH | {"epochs": LONGER * preset["epochs"]}
    elif not preset.get("freeze"):
        preset |= FINE_TUNE
    return preset | {"epochs": options.epochs} if options.epochs else preset


def _shape(model: RegisteredModel, start: RunStart) -> dict[str, Any]:
    """Picture size and what may be done to photos: as the serving version was trained, else as the start is served."""
    version = model.desired_version() or start.version
    told = version.manifest.get("provenance", {}).get("config", {}) if version else {}
    plain = {"image_size": 224, "serving_size": 0}
    if set(SHAPE) <= set(told):
        return plain | {name: told[name] for name in SHAPE}
    served = version.manifest.get("preprocessing", {}) if version else {}
    if not served:
        return plain
    fit = "letterbox" if served.get("method") == "letterbox" else "crop"
    return plain | {"image_size": served["crop_size"], "channels": served["channels"], "fit": fit}
