"""From an artifact to the ONNX graph that OpenVINO runs, with proof that both compute the same."""

import io
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.jit import TracerWarning  # type: ignore[attr-defined]  # public by documentation

from classifier_core.artifact import MANIFEST, WEIGHTS, Artifact
from classifier_core.crops import sample_crops
from classifier_core.engines import Engine, EngineSpec
from classifier_core.engines.graph import INPUT, OUTPUTS, Graph, graph_folder, load_graph, save_graph
from classifier_core.engines.openvino import OpenVINOEngine
from classifier_core.engines.parity import MAX_DIFFERENCE, Parity, compare
from classifier_core.engines.torch import TorchEngine
from classifier_core.errors import ExportFailed
from classifier_core.onnx_pooling import pooling_of_any_size

BATCH_SIZES = (1, 3, 8)

_OPSET = 17


def export_onnx(artifact: Artifact, *, num_threads: int = 2) -> dict[int, Parity]:
    """Write the artifact's graph to `engines/onnx/`, once; gives its parity with torch by batch size.

    A graph that is there already is checked for damage and left alone.

    Raises ExportFailed when there is no such graph or it does not compute what torch computes (then nothing is
    written), EngineUnavailable when a damaged graph is in the way, EngineFailed.
    """
    if graph_folder(artifact).exists():
        return load_graph(artifact).parity
    with _threads_kept():
        return _export_anew(artifact, num_threads)


def _export_anew(artifact: Artifact, num_threads: int) -> dict[int, Parity]:
    reference = TorchEngine(artifact, EngineSpec("torch"), num_threads=num_threads, feature_map=True)
    onnx = _trace(reference, artifact)
    candidate = OpenVINOEngine(
        onnx, artifact.preprocessing, EngineSpec("openvino"), num_threads=num_threads, feature_map=True
    )
    parity = _measure(reference, candidate, artifact)
    return _saved(artifact, onnx, parity).parity


@contextmanager
def _threads_kept() -> Iterator[None]:
    """torch's threads are the whole process's: a training that exports something first keeps its own number."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def exported(artifact: Artifact, *, num_threads: int = 2) -> Iterator[Artifact]:
    """The artifact with a graph: itself where it has one, else a copy with one, which is gone afterwards.

    For looking at artifacts that are not ours to write into. Raises as `export_onnx` does.
    """
    if graph_folder(artifact).exists():
        yield artifact
        return
    with tempfile.TemporaryDirectory(prefix="recognizer-") as folder:
        for name in (MANIFEST, WEIGHTS):
            shutil.copyfile(artifact.folder / name, Path(folder) / name)
        copy = replace(artifact, folder=Path(folder))
        export_onnx(copy, num_threads=num_threads)
        yield copy


def _trace(reference: TorchEngine, artifact: Artifact) -> bytes:
    size = artifact.preprocessing.crop_size
    # A batch of two: tracing a batch of one would fix that size in some networks.
    example = torch.zeros(2, artifact.in_channels, size, size)
    file = io.BytesIO()
    with warnings.catch_warnings(), pooling_of_any_size(_OPSET):
        # The tracing exporter is deprecated, but takes 1.5 s where its successor takes 18, and writes one file.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        try:
            _export(reference, example, file)
        except RuntimeError as error:  # an operation that ONNX does not have, above all
            reason = str(error).partition("\n")[0]  # the graph follows, in hundreds of lines
            raise ExportFailed(f"{artifact.architecture} cannot be exported to ONNX: {reason}") from error
    return file.getvalue()


def _export(reference: TorchEngine, example: torch.Tensor, file: io.BytesIO) -> None:
    torch.onnx.export(
        reference.network,
        (example,),
        file,  # type: ignore[arg-type]  # the tracing exporter takes an open file, too
        dynamo=False,
        opset_version=_OPSET,
        input_names=[INPUT],
        output_names=list(OUTPUTS),
        dynamic_axes={name: {0: "batch"} for name in (INPUT, *OUTPUTS)},
    )


def _measure(reference: Engine, candidate: Engine, artifact: Artifact) -> dict[int, Parity]:
    crops = np.stack(sample_crops(artifact.preprocessing, sum(BATCH_SIZES)))
    batches = np.split(crops, np.cumsum(BATCH_SIZES)[:-1])
    known = artifact.load_known_rule()
    parity = {
        len(batch): compare(reference.run(batch), candidate.run(batch), temperature=artifact.temperature, known=known)
        for batch in batches
    }
    for size, figures in parity.items():
        worst = max(figures.score_difference, figures.logit_difference, figures.feature_difference)
        if not worst <= MAX_DIFFERENCE:
            words = f"{artifact.architecture} exported to ONNX differs from torch by {worst:.2g} in a batch of {size}"
            raise ExportFailed(f"{words}; at most {MAX_DIFFERENCE} is allowed. It can be served with the torch engine.")
    return parity


def _saved(artifact: Artifact, onnx: bytes, parity: dict[int, Parity]) -> Graph:
    exporter = {name: version(name) for name in ("torch", "torchvision", "timm", "openvino")}
    return save_graph(artifact, onnx, parity=parity, exporter=exporter | {"opset": _OPSET})
