"""The runtimes that turn pixels into logits. Importing this package loads none of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from classifier_core.artifact import Artifact
from classifier_core.errors import EngineFailed, EngineUnavailable

EngineName = Literal["openvino", "torch"]
Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]
Batch = npt.NDArray[np.uint8]  # [N, height, width, channels], 0-255
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EngineSpec:
    """Which runtime on which device in which precision. Equal specs give equal answers."""

    engine: EngineName = "openvino"
    device: Device = "cpu"
    precision: Precision = "float32"

    def __str__(self) -> str:
        return f"{self.engine}-{self.device}-{self.precision}"


@dataclass(frozen=True)
class EngineOutput:
    """What a network says about N pictures: float32 logits [N, K] and pooled features [N, F].

    The last feature map [N, C, h, w] is there only when the engine was loaded with `feature_map=True`.
    """

    logits: Floats
    features: Floats
    feature_map: Floats | None = None


def join_outputs(outputs: Sequence[EngineOutput]) -> EngineOutput:
    """Logits and features of several batches, in order; without feature maps."""
    logits, features = (np.concatenate([getattr(one, name) for one in outputs]) for name in ("logits", "features"))
    return EngineOutput(logits, features)


class Engine(Protocol):
    """A loaded network. Safe to call from several threads."""

    spec: EngineSpec

    def run(self, pixels: Batch) -> EngineOutput:
        """The answer for uint8 pixels [N, height, width, channels] as `Preprocessing` makes them.

        Raises EngineFailed when the runtime cannot answer.
        """
        ...


@contextmanager
def in_words(kind: type[EngineUnavailable] | type[EngineFailed], what: str) -> Iterator[None]:
    """Turns what a runtime throws into `kind`. Both runtimes say everything, CUDA out of memory too, as RuntimeError.

    MemoryError passes: the machine is short of memory, which is no fault of the engine.
    """
    try:
        yield
    except RuntimeError as error:
        reason = next(iter(str(error).strip().splitlines()), "no reason given")
        raise kind(f"{what}: {reason}") from error


OFFERS: dict[tuple[EngineName, Device], tuple[Precision, ...]] = {
    ("openvino", "cpu"): ("float32", "bfloat16"),
    ("torch", "cpu"): ("float32", "bfloat16"),
    ("torch", "cuda"): ("float32", "bfloat16", "float16"),
}


def usual_engine(device: Device) -> EngineName:
    """What runs on this device where nobody chooses."""
    return "openvino" if device == "cpu" else "torch"


def require_offered(spec: EngineSpec) -> None:
    """Raises EngineUnavailable for what no machine runs, with what there is."""
    if spec.precision not in OFFERS.get((spec.engine, spec.device), ()):
        offers = ", ".join(f"{engine} on {device} ({'/'.join(kinds)})" for (engine, device), kinds in OFFERS.items())
        raise EngineUnavailable(f"{spec.engine} does not run {spec.precision} on {spec.device}. There is: {offers}.")


def require_here(spec: EngineSpec) -> None:
    """Raises EngineUnavailable when this machine lacks the device or the precision. Loads a runtime only to ask it."""
    require_offered(spec)
    if spec.device == "cuda":
        from classifier_core.engines.torch import require_device

        require_device(spec)
    elif spec.engine == "openvino" and spec.precision != "float32":
        from classifier_core.engines.openvino import require_precision

        require_precision(spec)


def load_engine(artifact: Artifact, spec: EngineSpec, *, num_threads: int, feature_map: bool = False) -> Engine:
    """The artifact's network, loaded and ready.

    `num_threads` bounds CPU work; torch leaves it so in the thread that runs it.

    Raises EngineUnavailable when engine, device, precision or exported graph is not there: nothing falls back in
    silence; also when the runtime cannot load it. Raises ArtifactInvalid when the weights do not fit the architecture.
    """
    require_offered(spec)
    if spec.engine == "openvino":
        from classifier_core.engines.graph import load_graph
        from classifier_core.engines.openvino import OpenVINOEngine

        onnx = load_graph(artifact).onnx
        return OpenVINOEngine(onnx, artifact.preprocessing, spec, num_threads=num_threads, feature_map=feature_map)
    from classifier_core.engines.torch import TorchEngine

    return TorchEngine(artifact, spec, num_threads=num_threads, feature_map=feature_map)
