"""What the peers do with a photo. Runs in their processes, from the environment that `programs.py` gives them."""

import io
import os
from collections.abc import Callable
from typing import Any, Protocol

from classifier_core.artifact import load_artifact

TOP_K = 5
ARTIFACT, SPEC, WAY = "BENCH_ARTIFACT", "BENCH_SPEC", "BENCH_WAY"
SAME_ENGINE, PLAIN, DOCUMENTED = "same-engine", "plain", "documented"
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


class PlainOpenVINO:
    """The same engine, the pixels prepared as one writes it: the whole photo decoded and scaled, then numpy."""

    def __init__(self) -> None:
        import openvino

        from bench.limit import parse_spec
        from classifier_core.engines.graph import load_graph

        artifact, precision = load_artifact(os.environ[ARTIFACT]), parse_spec(os.environ[SPEC]).precision
        self._asked, self._labels = artifact.preprocessing, [label.key for label in artifact.labels]
        core, size = openvino.Core(), artifact.preprocessing.crop_size
        model = core.read_model(load_graph(artifact).onnx)
        model.reshape([1, 3, size, size])
        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        chosen = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        self._request = core.compile_model(model, "CPU", chosen).create_infer_request()

    def prepare(self, raw: bytes) -> Any:
        import numpy as np
        from PIL import Image

        image = Image.open(io.BytesIO(raw)).convert("RGB")
        scale, crop = self._asked.resize_size / min(image.size), self._asked.crop_size
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), np.float32) / 255
        mean, std = np.array(self._asked.mean, np.float32), np.array(self._asked.std, np.float32)
        return ((pixels - mean) / std).transpose(2, 0, 1)[None]

    def answer(self, prepared: Any) -> Answer:
        import numpy as np

        logits = self._request.infer({0: prepared})["logits"][0]
        powers = np.exp(logits - logits.max())
        best = powers.argsort()[::-1][:TOP_K]
        return {"scores": [(self._labels[at], float(powers[at] / powers.sum())) for at in best]}


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
    return {SAME_ENGINE: SameEngine, PLAIN: PlainOpenVINO, DOCUMENTED: TorchEager}[os.environ[WAY]]()
