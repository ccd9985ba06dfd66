"""The weights a network starts from: a safetensors file, an artifact, or a repository of the Hugging Face hub."""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from classifier_core.architectures import find_head
from classifier_core.artifact import MANIFEST, WEIGHTS, load_artifact
from classifier_core.errors import TrainingFailed

State = dict[str, torch.Tensor]

_MIN_SHARE = 0.5  # of the network's tensors; fewer would be another architecture's weights
_HUB_FILE = "model.safetensors"
_PATIENCE = 5.0  # seconds
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Start:
    """Which weights a network was given."""

    source: str  # a file's or folder's name, never its path
    sha256: str
    missing: tuple[str, ...]  # tensors, besides the head's, that stay random


def load_start(network: nn.Module, source: str) -> Start:
    """Give the network, in place, the weights it shares with `source`.

    A head for other classes stays random; a network for grey pictures takes the sum over the colours.

    Raises TrainingFailed when the source cannot be read or belongs to another architecture, ArtifactInvalid.
    """
    path = _weights_file(source)
    state = _read(path)
    own = network.state_dict()
    fitting = {name: fitted for name, tensor in own.items() if (fitted := _fit(state.get(name), tensor)) is not None}
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    found = [name for name in needed if name in fitting]
    if len(found) < _MIN_SHARE * len(needed):
        words = f"{len(found)} of {len(needed)} tensors have its names and shapes"
        raise TrainingFailed(f"The weights in {source} belong to another architecture: {words}. Name theirs.")
    network.load_state_dict(fitting, strict=False)
    head = find_head(network)
    missing = tuple(name for name in needed if name not in fitting and not name.startswith(f"{head}."))
    return Start(Path(source).name, hashlib.sha256(path.read_bytes()).hexdigest(), missing)


def _fit(tensor: torch.Tensor | None, own: torch.Tensor) -> torch.Tensor | None:
    if tensor is None or tensor.dim() != own.dim():
        return None
    if own.dim() == 4 and (own.shape[1], tensor.shape[1]) == (1, 3):
        tensor = tensor.float().sum(1, keepdim=True)  # grey is the same value in all three colours
    return tensor.to(own.dtype) if tensor.shape == own.shape else None


def _read(path: Path) -> State:
    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingFailed(f"{path} cannot be read as a safetensors file: {error}") from error


def _weights_file(source: str) -> Path:
    path = Path(source)
    if (path / MANIFEST).is_file():
        return load_artifact(path).folder / WEIGHTS
    if path.is_file():
        return path
    if path.is_dir():
        raise TrainingFailed(f"{source} is a folder without {MANIFEST}. Name an artifact folder or a weights file.")
    if _HUB_NAME.fullmatch(source) and not source.startswith("."):
        return _download(source)
    raise TrainingFailed(f"There are no weights at {source}. Name a safetensors file, an artifact or a hub name.")


def _download(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, _HUB_FILE, local_files_only=True))
    except Exception:  # noqa: BLE001  not there yet; the library has no base for what it raises
        _reach_hub(name)
    try:
        with _silenced("huggingface_hub"):
            return Path(hf_hub_download(name, _HUB_FILE))
    except Exception as error:
        raise TrainingFailed(
            f"The weights of {name} cannot be had from the Hugging Face hub: it has no file {_HUB_FILE} of that name "
            "for everybody, or broke off. Look the name up there, or name a safetensors file or an artifact folder."
        ) from error


def _reach_hub(name: str) -> None:
    """Once: the library itself would try for half a minute."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception as error:
        raise TrainingFailed(
            f"There is no file {name}, and the weights of that name cannot be had from the Hugging Face hub: it cannot "
            "be reached from here. Without a network, name a safetensors file or an artifact folder."
        ) from error


@contextmanager
def _silenced(library: str) -> Iterator[None]:
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
