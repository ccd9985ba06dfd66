"""What the peers do with a photo. Runs in their processes, from the environment that `programs.py` gives them."""

import io
import os
from collections.abc import Callable
from typing import Any, Protocol

from classifier_core.artifact import load_artifact

TOP_K = 5
ARTIFACT, SPEC, WAY = "BENCH_ARTIFACT", "BENCH_SPEC", "BENCH_WAY"
SAME_ENGINE, DOCUMENTED = "same-engine", "documented"
Answer = dict[str, list[tuple[str, float]]]


class Network(Protocol):
    """A model as a peer's worker calls it: one process of one thread for each core."""

    def prepare(self, raw: bytes) -> Any: ...

    def answer(self, prepared: Any) -> Answer: ...


class SameEngine:
    """Our preprocessing and our engine with the exported graph, in the precision that our workers run."""

    def __init__(self) -> None:
        from bench.limit import parse_spec
        from classifier_core.classifier import load_classifier

        self._classifier = load_classifier(os.environ[ARTIFACT], parse_spec(os.environ[SPEC]), num_threads=1)
        self.prepare: Callable[[bytes], Any] = self._classifier.artifact.preprocessing.load

    def answer(self, prepared: Any) -> Answer:
        (found,) = self._classifier.classify([prepared], top_k=TOP_K)
        return {"scores": [(score.label, score.score) for score in found.scores]}


class TorchEager:
    """The network in torch with torchvision's transforms, as the documentation of both peers shows it."""

    def __init__(self) -> None:
        import torch
        from torchvision.transforms import v2

        from classifier_core.architectures import restore_model

        artifact = load_artifact(os.environ[ARTIFACT])
        asked = artifact.preprocessing
        torch.set_num_threads(1)
        self._labels = [label.key for label in artifact.labels]
        self._model = restore_model(artifact).eval()
        self._transform = v2.Compose(
            [
                v2.Resize(asked.resize_size, v2.InterpolationMode(asked.interpolation)),
                v2.CenterCrop(asked.crop_size),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(asked.mean, asked.std),
            ]
        )

    def prepare(self, raw: bytes) -> Any:
        from PIL import Image

        return self._transform(Image.open(io.BytesIO(raw)).convert("RGB"))[None]

    def answer(self, prepared: Any) -> Answer:
        import torch

        with torch.inference_mode():
            best = self._model(prepared).softmax(-1)[0].topk(min(TOP_K, len(self._labels)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return {"scores": [(self._labels[index], score) for index, score in pairs]}


def load_network() -> Network:
    """The one that the environment names."""
    return {SAME_ENGINE: SameEngine, DOCUMENTED: TorchEager}[os.environ[WAY]]()
