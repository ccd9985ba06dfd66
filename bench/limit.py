"""What this machine could do: one artifact in-process on all cores, with no web, queue or database around it.

`python -m bench.limit ARTIFACT_FOLDER SPEC PHOTO SECONDS` prints one line of JSON. SPEC is like openvino-cpu-bfloat16.
A process of its own, so that nothing of it weighs on the service afterwards.

With `--export-onnx PATH` it also writes the very graph that is measured, without the feature map that serving drops, so
that another program can measure the same network.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnx

from classifier_core.artifact import Artifact, load_artifact
from classifier_core.engines import Device, Engine, EngineName, EngineSpec, Precision, load_engine
from classifier_core.engines.graph import load_graph

BATCH_SIZE = 8
NUM_WARM_UPS = 3
NUM_SINGLES = 30  # at most; they also end with the time


@dataclass(frozen=True)
class Limit:
    """Images per second of the two ways to keep all cores busy, and the time of one image alone on all of them."""

    serial_batches: float
    lanes: float
    one_image_ms: float
    cpu_ms: float  # of processor time an image, in serial batches

    @property
    def per_second(self) -> float:
        """The better way is the limit."""
        return max(self.serial_batches, self.lanes)


@dataclass(frozen=True)
class Pace:
    """Images per second, and processor time of the whole process for each of them."""

    per_second: float
    cpu_ms: float


def measure(folder: Path, spec: EngineSpec, photo: bytes, *, seconds: float) -> Limit:
    """The limit for this photo. Each of the two ways runs for `seconds`."""
    artifact = load_artifact(folder)
    num_cores = len(os.sched_getaffinity(0))
    whole = load_engine(artifact, spec, num_threads=num_cores)
    serial = _serial_batches(artifact, whole, photo, num_cores=num_cores, seconds=seconds)
    return Limit(
        serial_batches=round(serial.per_second, 1),
        lanes=round(_lanes(artifact, spec, photo, num_cores=num_cores, seconds=seconds), 1),
        one_image_ms=round(_one_image_ms(artifact, whole, photo, seconds=seconds), 2),
        cpu_ms=round(serial.cpu_ms, 2),
    )


def _serial_batches(artifact: Artifact, engine: Engine, photo: bytes, *, num_cores: int, seconds: float) -> Pace:
    """All cores decode a batch, then all cores run it."""
    with ThreadPoolExecutor(num_cores) as decoders:

        def step() -> None:
            engine.run(np.stack(list(decoders.map(artifact.preprocessing.load, [photo] * BATCH_SIZE))))

        return _pace(step, seconds=seconds)


def _lanes(artifact: Artifact, spec: EngineSpec, photo: bytes, *, num_cores: int, seconds: float) -> float:
    """Each core decodes and runs batches of its own."""
    engines = [load_engine(artifact, spec, num_threads=1) for _ in range(num_cores)]

    def lane(engine: Engine) -> float:
        def step() -> None:
            engine.run(np.stack([artifact.preprocessing.load(photo) for _ in range(BATCH_SIZE)]))

        return _pace(step, seconds=seconds).per_second

    with ThreadPoolExecutor(num_cores) as lanes:
        return sum(lanes.map(lane, engines))


def _pace(step: Callable[[], None], *, seconds: float) -> Pace:
    for _ in range(NUM_WARM_UPS):
        step()
    start, used, num_images = time.perf_counter(), time.process_time(), 0
    while (taken := time.perf_counter() - start) < seconds:
        step()
        num_images += BATCH_SIZE
    return Pace(num_images / taken, 1000 * (time.process_time() - used) / num_images)


def _one_image_ms(artifact: Artifact, engine: Engine, photo: bytes, *, seconds: float) -> float:
    """The median time of decode and inference of one image that is alone."""
    end = time.perf_counter() + seconds
    times: list[float] = []
    while not times or (len(times) < NUM_SINGLES and time.perf_counter() < end):
        start = time.perf_counter()
        engine.run(artifact.preprocessing.load(photo)[None])
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def parse_spec(text: str) -> EngineSpec:
    """The spec that prints as this text. Raises KeyError."""
    specs = [
        EngineSpec(engine, device, precision)
        for engine in get_args(EngineName)
        for device in get_args(Device)
        for precision in get_args(Precision)
    ]
    return {str(spec): spec for spec in specs}[text]


def export_onnx(folder: Path, path: Path) -> None:
    """Write the artifact's graph as it is served: logits and features, no feature map. Input normalised float32."""
    model = onnx.load_from_string(load_graph(load_artifact(folder)).onnx)
    kept = [output for output in model.graph.output if output.name != "feature_map"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, path)


def main() -> None:
    options = parse(sys.argv[1:])
    if options.export_onnx:
        export_onnx(options.artifact, options.export_onnx)
    limit = measure(options.artifact, options.spec, options.photo.read_bytes(), seconds=options.seconds)
    print(json.dumps(asdict(limit)))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.limit", description=__doc__.splitlines()[0])
    parser.add_argument("artifact", type=Path, help="its folder, with the exported graph")
    parser.add_argument("spec", type=_spec, help="such as openvino-cpu-bfloat16")
    parser.add_argument("photo", type=Path)
    parser.add_argument("seconds", type=float, help="of each of the two ways")
    parser.add_argument("--export-onnx", type=Path, help="also write the measured graph here")
    return parser.parse_args(arguments)


def _spec(text: str) -> EngineSpec:
    try:
        return parse_spec(text)
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is no spec like openvino-cpu-bfloat16") from None


if __name__ == "__main__":
    main()
