"""OpenVINO on CPU: the serving engine. Never imports torch."""

from threading import Lock

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

from classifier_core.engines import Batch, EngineOutput, EngineSpec, in_words
from classifier_core.engines.graph import INPUT
from classifier_core.errors import EngineFailed, EngineUnavailable
from classifier_core.preprocessing import Preprocessing

_PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINOEngine:
    """The exported graph, with normalisation inside, so that it takes 8-bit pixels.

    The batch size is left open: measured as fast as one compiled for a fixed size.
    """

    def __init__(
        self, onnx: bytes, preprocessing: Preprocessing, spec: EngineSpec, *, num_threads: int, feature_map: bool
    ) -> None:
        if spec.precision == "bfloat16" and not has_bfloat16():
            raise EngineUnavailable("This CPU does not compute in bfloat16. Choose float32.")
        self.spec = spec
        self._lock = Lock()
        options = {
            "INFERENCE_NUM_THREADS": num_threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Said even for float32: where the CPU can, OpenVINO would choose bfloat16 by itself.
            "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[spec.precision],
        }
        with in_words(EngineUnavailable, "OpenVINO cannot load the exported graph"):
            model = _read_model(onnx, preprocessing, feature_map=feature_map)
            compiled = ov.Core().compile_model(model, "CPU", options)
            self._request = compiled.create_infer_request()
        self._outputs = [output.any_name for output in compiled.outputs]

    def run(self, pixels: Batch) -> EngineOutput:
        """The answer for uint8 pixels [N, height, width, channels]. Raises EngineFailed."""
        with self._lock, in_words(EngineFailed, "OpenVINO could not answer"):
            # Shared in, because the pixels are not touched; copied out, because the next run reuses the buffers.
            result = self._request.infer([np.ascontiguousarray(pixels)], share_inputs=True, share_outputs=False)
        return EngineOutput(**{name: result[name] for name in self._outputs})


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _read_model(onnx: bytes, preprocessing: Preprocessing, *, feature_map: bool) -> ov.Model:
    model = ov.Core().read_model(onnx)
    if not feature_map:
        _drop_feature_map(model)
    return _with_normalisation(model, preprocessing)


def _drop_feature_map(model: ov.Model) -> None:
    for result in model.get_results():
        if "feature_map" in result.get_output_tensor(0).get_names() | result.input_value(0).get_names():
            model.remove_result(result)


def _with_normalisation(model: ov.Model, preprocessing: Preprocessing) -> ov.Model:
    steps = PrePostProcessor(model)
    image = steps.input(INPUT)
    image.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    image.model().set_layout(ov.Layout("NCHW"))
    mean, std = ([255 * value for value in values] for values in (preprocessing.mean, preprocessing.std))
    image.preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
    return steps.build()
