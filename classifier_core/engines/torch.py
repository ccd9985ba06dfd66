"""torch on CPU, the reference that every other engine is compared with, and on CUDA."""

from contextlib import AbstractContextManager, nullcontext
from threading import Lock

import numpy as np
import torch

from classifier_core.architectures import ObservedNetwork, merge_branches, restore_model
from classifier_core.artifact import Artifact
from classifier_core.engines import Batch, EngineOutput, EngineSpec, in_words
from classifier_core.errors import EngineFailed, EngineUnavailable

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchEngine:
    """The network itself, channels_last; bfloat16 and float16 through autocast."""

    def __init__(self, artifact: Artifact, spec: EngineSpec, *, num_threads: int, feature_map: bool) -> None:
        require_device(spec)
        torch.set_num_threads(num_threads)
        self.spec, self._num_threads = spec, num_threads
        self._lock = Lock()
        self._feature_map = feature_map
        self._device = torch.device(spec.device)
        preparation = artifact.preprocessing
        with in_words(EngineUnavailable, f"torch cannot load the network on {spec.device}"):
            self.network = _observed(artifact).to(self._device).to(memory_format=torch.channels_last)
            self._mean = _per_channel(preparation.mean, self._device)
            self._std = _per_channel(preparation.std, self._device)

    def run(self, pixels: Batch) -> EngineOutput:
        """The answer for uint8 pixels [N, height, width, channels]. Raises EngineFailed."""
        with (
            self._lock,
            in_words(EngineFailed, f"torch could not answer on {self.spec.device}"),
            torch.inference_mode(),
            self._autocast(),
        ):
            # torch keeps the number for the thread that calls: another network, of other threads, may have run in it.
            if torch.get_num_threads() != self._num_threads:
                torch.set_num_threads(self._num_threads)
            # [N, H, W, C] seen as [N, C, H, W] is channels_last already.
            images = torch.from_numpy(np.array(pixels)).to(self._device).permute(0, 3, 1, 2).float()
            logits, features, feature_map = self.network((images - self._mean) / self._std)
            # Inside: CUDA reports a failed kernel only when its result is fetched.
            return EngineOutput(
                _to_numpy(logits), _to_numpy(features), _to_numpy(feature_map) if self._feature_map else None
            )

    def _autocast(self) -> AbstractContextManager[object]:
        if self.spec.precision == "float32":
            return nullcontext()
        return torch.autocast(self.spec.device, dtype=_DTYPES[self.spec.precision])


def require_device(spec: EngineSpec) -> None:
    """Raises EngineUnavailable when torch finds no such device."""
    if spec.device != "cuda":
        return
    if not torch.cuda.is_available():
        raise EngineUnavailable("torch finds no CUDA device. Choose the device cpu, or install a driver.")
    # cuDNN would otherwise compute float32 convolutions in TF32, with 10 bits of mantissa.
    torch.backends.cudnn.allow_tf32 = False


def _observed(artifact: Artifact) -> ObservedNetwork:
    return ObservedNetwork(
        merge_branches(restore_model(artifact)),
        num_classes=artifact.num_classes,
        in_channels=artifact.in_channels,
        size=artifact.preprocessing.crop_size,
    )


def _per_channel(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    return 255 * torch.tensor(values, device=device).view(1, -1, 1, 1)


def _to_numpy(tensor: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return tensor.float().cpu().numpy()
