"""A trained model as a folder that explains itself: `artifact.json` and `model.safetensors`.

Written once, never changed. Its identity is the SHA-256 of the two lines that
`sha256sum artifact.json model.safetensors` prints. What is derived from it (exported graphs, measurements) lies in
`engines/` and does not count. Reading one needs neither torch nor OpenVINO, and nothing is ever unpickled.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from classifier_core import durable
from classifier_core.errors import ArtifactInvalid
from classifier_core.known import KnownRule, unit_vectors
from classifier_core.preprocessing import Preprocessing

FORMAT = 1
MANIFEST = "artifact.json"
WEIGHTS = "model.safetensors"
KNOWN_FEATURES = "known:features"  # a tensor beside the weights; no layer can have a colon in its name by accident

Tensor = npt.NDArray[Any]
_DTYPES = {"float32", "float16", "int64"}
_FIGURES = {"dataset", "num_images", "accuracy"}  # of each entry of provenance["evaluations"], and what may be there:
_MORE_FIGURES = {"dataset_sha256", "macro_recall", "metrics", "engine", "precision"}


@dataclass(frozen=True)
class LabelEntry:
    """One class: the immutable key programs see, and its names by language code."""

    key: str
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """Divides the logits, so that a score of 0.8 is right 8 times in 10."""

    temperature: float


@dataclass(frozen=True)
class Thresholds:
    """Below this calibrated top score, or beyond this distance to the known features, it is "none of my classes".

    `label_scores`: for each label the score from which on its answers were nearly always right (on validation).
    """

    known_score: float
    known_distance: float | None = None  # mean cosine distance to the 5 nearest, 0-2; None: only the score counts
    label_scores: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without what is not set."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


@dataclass(frozen=True)
class Artifact:
    """A checked artifact folder. The position of a label is its class index."""

    folder: Path
    sha256: str
    format: int
    architecture: str
    num_classes: int
    in_channels: int
    head: str  # name of the layer that gives the logits, as in the weights file
    labels: tuple[LabelEntry, ...]
    preprocessing: Preprocessing
    calibration: Calibration | None
    thresholds: Thresholds | None
    provenance: dict[str, Any]

    @property
    def temperature(self) -> float:
        """What logits are divided by; 1 for a model that is not calibrated."""
        return self.calibration.temperature if self.calibration else 1.0

    def load_state(self) -> dict[str, Tensor]:
        """The weights by name; half precision comes back as float32."""
        state = read_tensors((self.folder / WEIGHTS).read_bytes())
        return {name: _widened(tensor) for name, tensor in state.items() if name != KNOWN_FEATURES}

    def load_known_rule(self) -> KnownRule | None:
        """When a picture counts as known; None for a model that cannot say."""
        if self.thresholds is None:
            return None
        score, distance = self.thresholds.known_score, self.thresholds.known_distance
        if distance is None:
            return KnownRule(score)
        features = read_tensors((self.folder / WEIGHTS).read_bytes())[KNOWN_FEATURES]
        return KnownRule(score, distance, unit_vectors(features))


def load_artifact(folder: Path | str, *, sha256: str | None = None) -> Artifact:
    """The artifact in this folder, after checking every promise it makes.

    Raises ArtifactInvalid, also when its identity is not the `sha256` that the caller expects.
    """
    folder = Path(folder)
    manifest, weights = _read(folder / MANIFEST), _read(folder / WEIGHTS)
    artifact = _checked(folder, manifest, weights)
    if sha256 is not None and sha256 != artifact.sha256:
        raise ArtifactInvalid(f"{folder} is artifact {artifact.sha256}, not {sha256}. Import it again.")
    return artifact


def save_artifact(  # noqa: PLR0913  one argument for each entry of the manifest
    folder: Path | str,
    *,
    state: Mapping[str, Tensor],
    architecture: str,
    head: str,
    labels: Sequence[LabelEntry],
    preprocessing: Preprocessing,
    provenance: Mapping[str, Any],
    calibration: Calibration | None = None,
    thresholds: Thresholds | None = None,
    known_features: Tensor | None = None,
    half: bool = False,
) -> Artifact:
    """Write a new artifact folder and load it back.

    `half` stores matrices and kernels as float16; vectors (biases, batch-norm statistics) stay float32, because a
    variance may lie outside of float16's range. `known_features` [M, F] belong to `thresholds.known_distance` and are
    always stored as float16.

    Raises FileExistsError when the folder exists (nothing is ever overwritten), ArtifactInvalid when the parts do
    not fit together.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; an artifact is never overwritten.")
    tensors = {name: _stored(tensor, half=half) for name, tensor in state.items()}
    if known_features is not None:
        tensors[KNOWN_FEATURES] = np.asarray(known_features, np.float16, order="C")
    weights = write_tensors(tensors)
    manifest = durable.as_json(
        {
            "format": FORMAT,
            "architecture": architecture,
            "num_classes": len(labels),
            "in_channels": preprocessing.channels,
            "head": head,
            "labels": [asdict(label) for label in labels],
            "preprocessing": preprocessing.to_dict(),
            "calibration": asdict(calibration) if calibration else None,
            "thresholds": thresholds.to_dict() if thresholds else None,
            "provenance": dict(provenance),
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
    )
    _checked(folder, manifest, weights)
    write_folder(folder, {MANIFEST: manifest, WEIGHTS: weights})
    return load_artifact(folder)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """All of these files in a new folder, on disk, or nothing: a temporary sibling is renamed at the end.

    Raises OSError, also when the folder exists and is not empty.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            durable.write(temporary / name, [content])
        temporary.chmod(0o755)  # mkdtemp's 0700 would hide it from a server that runs as another user
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    durable.sync(folder.parent)


def _stored(tensor: Tensor, *, half: bool) -> Tensor:
    tensor = np.asarray(tensor, order="C")  # ascontiguousarray would give a scalar a dimension
    return tensor.astype(np.float16) if half and tensor.ndim >= 2 and tensor.dtype == np.float32 else tensor


def _widened(tensor: Tensor) -> Tensor:
    return tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactInvalid(f"{path.parent} is not a complete artifact: {path.name} cannot be read.") from error


def _identity(manifest: bytes, weights_sha256: str) -> str:
    parts = ((hashlib.sha256(manifest).hexdigest(), MANIFEST), (weights_sha256, WEIGHTS))
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for sha256, name in parts).encode()).hexdigest()


def _checked(folder: Path, manifest: bytes, weights: bytes) -> Artifact:
    values = _parse_manifest(folder, manifest)
    weights_sha256 = hashlib.sha256(weights).hexdigest()
    if weights_sha256 != values.get("weights_sha256"):
        raise ArtifactInvalid(f"{folder}: the weights are not the ones {MANIFEST} was written for (hash differs).")
    artifact = _build(folder, values, sha256=_identity(manifest, weights_sha256))
    _check_labels(artifact)
    _check_evaluations(artifact)
    _check_state(artifact, weights)
    return artifact


def _parse_manifest(folder: Path, manifest: bytes) -> dict[str, Any]:
    try:
        values = json.loads(manifest, object_pairs_hook=_without_duplicates)
    except ValueError as error:
        raise ArtifactInvalid(f"{folder}: {MANIFEST} cannot be read: {error}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise ArtifactInvalid(f"{folder} has artifact format {found!r}; this version reads format {FORMAT}.")
    return dict(values)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("an entry is there twice")
    return dict(pairs)


def _build(folder: Path, values: dict[str, Any], *, sha256: str) -> Artifact:
    calibration, thresholds = values.get("calibration"), values.get("thresholds")
    try:
        return Artifact(
            folder=folder,
            sha256=sha256,
            format=values["format"],
            architecture=str(values["architecture"]),
            num_classes=int(values["num_classes"]),
            in_channels=int(values["in_channels"]),
            head=str(values["head"]),
            labels=tuple(LabelEntry(label["key"], dict(label["names"])) for label in values["labels"]),
            preprocessing=Preprocessing.from_dict(values["preprocessing"]),
            calibration=Calibration(**calibration) if calibration else None,
            thresholds=Thresholds(**thresholds) if thresholds else None,
            provenance=dict(values["provenance"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactInvalid(f"{folder}: {MANIFEST} lacks something or has a senseless entry: {error!r}") from error


def _check_labels(artifact: Artifact) -> None:
    keys = [label.key for label in artifact.labels]
    _require(artifact, len(keys) == artifact.num_classes > 1, f"{len(keys)} labels for {artifact.num_classes} classes")
    _require(artifact, len(set(keys)) == len(keys), "a label key is there twice")
    _require(artifact, all(_is_key(key) for key in keys), "a label key is not 1 to 100 printable characters")
    named = all(all(_is_key(name) for name in label.names.values()) for label in artifact.labels)
    _require(artifact, named, "a label name is not 1 to 100 printable characters")
    channels = artifact.preprocessing.channels
    _require(
        artifact, artifact.in_channels == channels, f"{artifact.in_channels} input channels but {channels} prepared"
    )
    _require(artifact, 0 < artifact.temperature < float("inf"), "the temperature must be a positive number")
    _check_thresholds(artifact)


def _check_thresholds(artifact: Artifact) -> None:
    thresholds = artifact.thresholds or Thresholds(0.0)
    distance = thresholds.known_distance
    _require(artifact, _is_share(thresholds.known_score), "known_score must lie between 0 and 1")
    _require(artifact, distance is None or _is_share(distance / 2), "known_distance must lie between 0 and 2")
    _require(artifact, all(map(_is_share, thresholds.label_scores.values())), "a label score must lie between 0 and 1")
    labels = {label.key for label in artifact.labels}
    _require(artifact, thresholds.label_scores.keys() <= labels, "label_scores names a label that is not there")


def _is_key(text: object) -> bool:
    return isinstance(text, str) and 1 <= len(text) <= 100 and text.isprintable() and text == text.strip()


def _check_evaluations(artifact: Artifact) -> None:
    evaluations = artifact.provenance.get("evaluations", [])
    _require(artifact, isinstance(evaluations, list), "provenance.evaluations is not a list")
    for number, figures in enumerate(evaluations):
        wrong = _wrong_figure(figures)
        _require(artifact, wrong is None, f"provenance.evaluations[{number}]: {wrong}")


def _wrong_figure(figures: object) -> str | None:
    if not isinstance(figures, dict) or not _FIGURES <= figures.keys() <= _FIGURES | _MORE_FIGURES:
        return f"it must have {sorted(_FIGURES)}, and may have {sorted(_MORE_FIGURES)}"
    holds = {
        "dataset": _is_text(figures["dataset"], 200) and figures["dataset"],
        "num_images": type(figures["num_images"]) is int and 1 <= figures["num_images"] < 2**31,
        "accuracy": _is_share(figures["accuracy"]),
        "macro_recall": figures.get("macro_recall") is None or _is_share(figures["macro_recall"]),
        "dataset_sha256": re.fullmatch("([0-9a-f]{64})?", str(figures.get("dataset_sha256", ""))),
        "metrics": isinstance(figures.get("metrics", {}), dict),
        "engine": _is_text(figures.get("engine", ""), 20),
        "precision": _is_text(figures.get("precision", ""), 20),
    }
    return next((f"{name} is senseless" for name, is_right in holds.items() if not is_right), None)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_text(text: object, max_length: int) -> bool:
    return isinstance(text, str) and len(text) <= max_length and text.isprintable()


def _check_state(artifact: Artifact, weights: bytes) -> None:
    try:
        state = read_tensors(weights)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactInvalid(f"{artifact.folder}: {WEIGHTS} cannot be read: {error}") from error
    for name, tensor in state.items():
        _require(
            artifact, tensor.dtype.name in _DTYPES, f"tensor {name} is {tensor.dtype}, not one of {sorted(_DTYPES)}"
        )
        _require(artifact, bool(np.isfinite(tensor).all()), f"tensor {name} holds values that are not finite")
    head = state.get(f"{artifact.head}.weight")
    if head is None:
        raise ArtifactInvalid(f"{artifact.folder}: the weights lack the head {artifact.head}.weight.")
    size = head.shape[0]
    _require(artifact, size == artifact.num_classes, f"the head gives {size} scores for {artifact.num_classes} labels")
    _check_known_features(artifact, state.get(KNOWN_FEATURES), width=head.shape[1])


def _check_known_features(artifact: Artifact, features: Tensor | None, *, width: int) -> None:
    has_distance = artifact.thresholds is not None and artifact.thresholds.known_distance is not None
    _require(artifact, has_distance == (features is not None), f"{KNOWN_FEATURES} and known_distance need each other")
    if features is not None:
        fits = features.ndim == 2 and len(features) > 0 and features.shape[1] == width
        _require(artifact, fits, f"{KNOWN_FEATURES} has shape {features.shape}, but the head takes {width} features")


def _require(artifact: Artifact, holds: bool, words: str) -> None:
    if not holds:
        raise ArtifactInvalid(f"{artifact.folder}: {words}.")
