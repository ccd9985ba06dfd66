"""OpenVINO on CPU: the serving engine. Never imports torch."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Lock

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

from classifier_core.engines import Batch, EngineOutput, EngineSpec, Floats, in_words
from classifier_core.engines.graph import INPUT
from classifier_core.errors import EngineFailed, EngineUnavailable
from classifier_core.preprocessing import Preprocessing

# A picture is not alone so soon after two at once: the next one is being decoded, and wants the other core.
_CROWDED_SECONDS = 0.1
_PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINOEngine:
    """The exported graph, with normalisation inside, so that it takes 8-bit pixels.

    One picture alone is run by all threads. Several are run side by side, each by one thread: threads that share a
    picture wait for each other after every layer, and wait long when another program wants a core. Measured on two
    cores with MobileNetV2: 144 pictures a second in batches of eight on both threads, 165 side by side.
    """

    def __init__(
        self, onnx: bytes, preprocessing: Preprocessing, spec: EngineSpec, *, num_threads: int, feature_map: bool
    ) -> None:
        require_precision(spec)
        self.spec = spec
        with in_words(EngineUnavailable, "OpenVINO cannot load the exported graph"):
            model = _read_model(onnx, preprocessing, feature_map=feature_map)
            self._alone = _requests(model, spec, num_threads=num_threads, num_streams=1)
            self._beside = _requests(model, spec, num_threads=num_threads, num_streams=num_threads)
        self._names = [output.any_name for output in model.outputs]
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="openvino")
        self._lock, self._num_running, self._crowded_until = Lock(), 0, 0.0
        # By one thread: when the first tensors of a process are made by two at once, each waits for the other for ever.
        self.run(np.zeros((1, preprocessing.crop_size, preprocessing.crop_size, preprocessing.channels), np.uint8))

    def run(self, pixels: Batch) -> EngineOutput:
        """The answer for uint8 pixels [N, height, width, channels]. Raises EngineFailed."""
        # Writable, or OpenVINO shares no memory with it: Pillow's pixels are not.
        pictures = np.split(np.require(pixels, requirements=("C", "W")), len(pixels))
        with in_words(EngineFailed, "OpenVINO could not answer"):
            # The pool's threads are too many for one picture; its owner's thread will do.
            answers = [*self._threads.map(self._run_one, pictures)] if pictures[1:] else [self._run_one(pictures[0])]
        return EngineOutput(**{name: np.concatenate([answer[name] for answer in answers]) for name in self._names})

    def _run_one(self, picture: Batch) -> dict[str, Floats]:
        with self._request() as request:
            # Not infer([picture]): to find out what was passed takes it half a millisecond.
            request.set_input_tensor(ov.Tensor(picture, shared_memory=True))
            # In this thread: to wake another one costs time, and its caches are without the picture. Whichever threads
            # call, two requests run on two streams (measured with six threads in pairs, and eight over two requests).
            request.infer(share_outputs=True)
            # Copied, because the next run reuses the buffers.
            return {name: request.get_output_tensor(place).data.copy() for place, name in enumerate(self._names)}

    @contextmanager
    def _request(self) -> Iterator[ov.InferRequest]:
        with self._lock:
            self._num_running += 1
            if self._num_running > 1:
                self._crowded_until = time.monotonic() + _CROWDED_SECONDS
            free = self._beside if time.monotonic() < self._crowded_until else self._alone
        try:
            request = free.get()
            try:
                yield request
            finally:
                free.put(request)
        finally:
            with self._lock:
                self._num_running -= 1


def _requests(
    model: ov.Model, spec: EngineSpec, *, num_threads: int, num_streams: int
) -> "SimpleQueue[ov.InferRequest]":
    options = {
        "INFERENCE_NUM_THREADS": num_threads,
        "NUM_STREAMS": num_streams,
        # Left to the system: OpenVINO binds the threads of every compiled model to the same first cores.
        "ENABLE_CPU_PINNING": False,
        # Said even for float32: where the CPU can, OpenVINO would choose bfloat16 by itself.
        "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[spec.precision],
    }
    compiled = ov.Core().compile_model(model, "CPU", options)
    free: SimpleQueue[ov.InferRequest] = SimpleQueue()
    for _ in range(num_streams):
        free.put(compiled.create_infer_request())
    return free


def require_precision(spec: EngineSpec) -> None:
    """Raises EngineUnavailable when this CPU does not compute in it."""
    if spec.precision == "bfloat16" and not has_bfloat16():
        raise EngineUnavailable("This CPU does not compute in bfloat16. Choose float32.")


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
    normalised = steps.build()
    # One picture a call, so a shape that is known: with an open one OpenVINO works it out anew each time.
    normalised.reshape([1, preprocessing.crop_size, preprocessing.crop_size, preprocessing.channels])
    return normalised
