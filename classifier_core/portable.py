"""An artifact as a folder for other programs: one ONNX file from pixels to scores, its labels, and a certificate.

The graph takes `pixels`, uint8 [N, size, size, channels] as the artifact's preprocessing makes them, and gives
calibrated `scores` [N, K], and `logits` and pooled `features`. Mean, std and temperature are inside.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from classifier_core.artifact import Artifact, write_folder
from classifier_core.durable import as_json
from classifier_core.engines import Batch, Engine, EngineOutput, join_outputs
from classifier_core.engines.graph import INPUT
from classifier_core.engines.latency import measure_latency
from classifier_core.engines.parity import Parity, compare
from classifier_core.errors import ExportFailed
from classifier_core.preprocessing import Pixels

PIXELS, SCORES = "pixels", "scores"
OUTPUTS = (SCORES, "logits", "features")
MAX_LOSS = 0.005  # of accuracy, which an export may have without --force

_BATCH_SIZE = 8


@dataclass(frozen=True)
class Certificate:
    """What an exported file answers, against torch in float32 on the same photos."""

    parity: Parity
    num_photos: int
    accuracy_reference: float
    accuracy: float
    milliseconds: float  # one picture from pixels to scores, median
    milliseconds_reference: float
    num_threads: int

    @property
    def loss(self) -> float:
        """How much accuracy the export loses, 0-1."""
        return self.accuracy_reference - self.accuracy

    def check(self) -> None:
        """Raises ExportFailed when the export loses more than half a point."""
        if self.loss > MAX_LOSS:
            raise ExportFailed(
                f"The export answers {self.accuracy:.2%} of {self.num_photos} photos right, the model "
                f"{self.accuracy_reference:.2%}: more than {MAX_LOSS:.1%} is lost. Give more calibration photos, or "
                "--force it."
            )


class PortableModel:
    """An exported file in ONNX Runtime on the CPU."""

    def __init__(self, graph: bytes, *, num_threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(self, pixels: Batch) -> EngineOutput:
        """The answer for uint8 pixels [N, size, size, channels]."""
        _, logits, features = self._session.run(OUTPUTS, {PIXELS: pixels})
        return EngineOutput(logits, features)


def build_portable(graph: bytes, artifact: Artifact) -> bytes:
    """The artifact's exported graph with preprocessing's last step ahead of it and calibration behind it."""
    model = onnx.load_from_string(graph)
    preparation, body = artifact.preprocessing, model.graph
    size, channels = preparation.crop_size, preparation.channels
    mean, std = (
        np.array(values, np.float32).reshape(1, -1, 1, 1) * 255 for values in (preparation.mean, preparation.std)
    )
    constants = {"pixels_mean": mean, "pixels_std": std, "temperature": np.array(artifact.temperature, np.float32)}
    body.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    ahead = [
        helper.make_node("Cast", [PIXELS], ["pixels_float"], name="pixels_cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels_float"], ["pixels_nchw"], name="pixels_transpose", perm=(0, 3, 1, 2)),
        helper.make_node("Sub", ["pixels_nchw", "pixels_mean"], ["pixels_centred"], name="pixels_subtract"),
        helper.make_node("Div", ["pixels_centred", "pixels_std"], [INPUT], name="pixels_divide"),
    ]
    behind = [
        helper.make_node("Div", ["logits", "temperature"], ["calibrated"], name="scores_divide"),
        helper.make_node("Softmax", ["calibrated"], [SCORES], name="scores_softmax", axis=1),
    ]
    nodes = [*ahead, *body.node, *behind]
    outputs = [helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["batch", artifact.num_classes])]
    outputs += [output for output in body.output if output.name in OUTPUTS]
    pixels = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["batch", size, size, channels])
    for field, content in ((body.node, nodes), (body.output, outputs), (body.input, [pixels])):
        del field[:]
        field.extend(content)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def certify(
    graph: bytes, reference: Engine, artifact: Artifact, photos: Iterable[tuple[Pixels, int]], *, num_threads: int
) -> Certificate:
    """Compare the file with the reference engine on prepared photos with their class indices.

    Raises ExportFailed when there is no photo.
    """
    portable, targets = PortableModel(graph, num_threads=num_threads), np.zeros(0, np.int64)
    theirs, ours, pixels = [], [], []
    for batch in _in_batches(photos):
        pixels, more = [one for one, _ in batch], [target for _, target in batch]
        theirs.append(reference.run(np.stack(pixels)))
        ours.append(portable.run(np.stack(pixels)))
        targets = np.append(targets, more)
    if not pixels:
        raise ExportFailed("There is no readable photo of this model's classes; the certificate is about those.")
    expected, given = join_outputs(theirs), join_outputs(ours)
    return Certificate(
        parity=compare(expected, given, temperature=artifact.temperature, known=artifact.load_known_rule()),
        num_photos=len(targets),
        accuracy_reference=float((expected.logits.argmax(1) == targets).mean()),
        accuracy=float((given.logits.argmax(1) == targets).mean()),
        milliseconds=measure_latency(portable, pixels[0]),
        milliseconds_reference=measure_latency(reference, pixels[0]),
        num_threads=num_threads,
    )


def save_portable(
    folder: Path, graph: bytes, artifact: Artifact, certificate: Certificate, *, made_with: dict[str, Any]
) -> None:
    """Write `model.onnx`, `labels.json` and `certificate.json` into a new folder. Raises OSError when it exists."""
    thresholds = artifact.thresholds.to_dict() if artifact.thresholds else None
    about = {
        "artifact_sha256": artifact.sha256,
        "architecture": artifact.architecture,
        "input": {"name": PIXELS, "type": "uint8", "shape": ["batch", *_picture_shape(artifact)], "range": [0, 255]},
        "outputs": list(OUTPUTS),
        "preprocessing": artifact.preprocessing.to_dict() | {"inside_the_graph": ["mean", "std"]},
        "temperature": {"value": artifact.temperature, "inside_the_graph": True},
        "thresholds": thresholds,
        "made_with": made_with | {name: version(name) for name in ("onnx", "onnxruntime", "torch")},
        "num_bytes": len(graph),
        **asdict(certificate),
    }
    labels = [asdict(label) for label in artifact.labels]
    write_folder(folder, {"model.onnx": graph, "labels.json": as_json(labels), "certificate.json": as_json(about)})


def _picture_shape(artifact: Artifact) -> tuple[int, int, int]:
    size = artifact.preprocessing.crop_size
    return size, size, artifact.preprocessing.channels


def _in_batches(photos: Iterable[tuple[Pixels, int]]) -> Iterator[list[tuple[Pixels, int]]]:
    remaining = iter(photos)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        yield batch
