"""Whether a faster precision may be used: only where it was measured to answer like float32."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from classifier_core import durable
from classifier_core.artifact import Artifact
from classifier_core.engines import Device, Engine, EngineOutput, EngineSpec, load_engine
from classifier_core.engines.graph import load_graph
from classifier_core.engines.parity import MAX_DIFFERENCE, Parity, compare
from classifier_core.errors import ClassifierError, EngineUnavailable
from classifier_core.metrics import accuracy_interval
from classifier_core.preprocessing import Pixels

MIN_PICTURES = 500
MIN_TOP1_AGREEMENT = 0.97
MIN_KNOWN_AGREEMENT = 0.97
# Near an even score a step of 1 % in the logits moves it by several hundredths. Asked where nobody knows the answers.
MAX_SCORE_DIFFERENCE = 0.2

ParityVerdict = Literal["reference", "passed", "failed", "unmeasured"]

_FORMAT = 2  # 1 did not look at `known`
_BATCH_SIZE = 8
_FASTEST = {"cpu": EngineSpec("openvino", "cpu", "bfloat16"), "cuda": EngineSpec("torch", "cuda", "bfloat16")}


def choose_spec(artifact: Artifact, device: Device) -> EngineSpec:
    """The fastest spec on this device that was measured to answer like float32; float32 without a measurement."""
    fast = _FASTEST[device]
    parity = stored_parity(artifact, fast)
    if parity is not None and is_equal_enough(parity) and _runs_here(fast):
        return fast
    return EngineSpec(fast.engine, device, "float32")


def fast_specs() -> list[EngineSpec]:
    """The specs faster than float32 that this machine can run, and so measure."""
    return [spec for spec in _FASTEST.values() if _runs_here(spec)]


def stored_parity(artifact: Artifact, spec: EngineSpec) -> Parity | None:
    """What `measure_parity` found for this artifact, spec and runtime version; None when there is nothing valid."""
    try:
        stored = json.loads(_path(artifact, spec).read_bytes())
        parity = Parity(**stored["parity"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return parity if stored.get("subject") == _subject(artifact, spec) else None


def judge_parity(artifact: Artifact, spec: EngineSpec) -> ParityVerdict:
    """Whether this spec was measured to answer like torch in float32, which all others are compared with."""
    if spec.precision == "float32":
        return "reference" if spec.engine == "torch" else _judge_export(artifact)
    parity = stored_parity(artifact, spec)
    if parity is None:
        return "unmeasured"
    return "passed" if is_equal_enough(parity) else "failed"


def answers_alike(artifact: Artifact, spec: EngineSpec) -> bool:
    """Whether this spec was measured to answer like torch in float32, or is that."""
    return judge_parity(artifact, spec) in ("reference", "passed")


def _judge_export(artifact: Artifact) -> ParityVerdict:
    try:
        figures = load_graph(artifact).parity.values()
    except EngineUnavailable:
        return "unmeasured"
    worst = [max(one.score_difference, one.logit_difference, one.feature_difference) for one in figures]
    return "unmeasured" if not worst else "passed" if max(worst) <= MAX_DIFFERENCE else "failed"


def measure_parity(artifact: Artifact, spec: EngineSpec, pixels: Sequence[Pixels], *, num_threads: int) -> Parity:
    """Compare this spec with float32 on the same engine, and store the figures for `choose_spec`.

    Takes at least 500 prepared pictures: photos, or `sample_crops`. Raises ClassifierError for fewer,
    EngineUnavailable where the spec does not run.
    """
    parity, _, _ = _measure(artifact, spec, pixels, num_threads=num_threads)
    store_parity(artifact, spec, parity)
    return parity


def certify(
    artifact: Artifact,
    spec: EngineSpec,
    pixels: Sequence[Pixels],
    *,
    targets: npt.NDArray[np.int64],
    groups: Sequence[int],
    num_threads: int,
) -> Parity:
    """The same on pictures whose class indices [N] are known, and whether accuracy stays as it is. Stores nothing.

    Pictures of one of the `groups` show one photo, of which the interval counts one.
    """
    parity, reference, candidate = _measure(artifact, spec, pixels, num_threads=num_threads)
    least, _ = accuracy_interval(reference.logits.argmax(1) == targets, groups=groups)
    accuracy = float((candidate.logits.argmax(1) == targets).mean())
    return replace(parity, accuracy=accuracy, least_accuracy=least)


def _measure(
    artifact: Artifact, spec: EngineSpec, pixels: Sequence[Pixels], *, num_threads: int
) -> tuple[Parity, EngineOutput, EngineOutput]:
    if len(pixels) < MIN_PICTURES:
        raise ClassifierError(f"{len(pixels)} pictures say too little about a precision; give {MIN_PICTURES} or more.")
    specs = (EngineSpec(spec.engine, spec.device, "float32"), spec)
    reference, candidate = (_run(load_engine(artifact, one, num_threads=num_threads), pixels) for one in specs)
    known = artifact.load_known_rule()
    return compare(reference, candidate, temperature=artifact.temperature, known=known), reference, candidate


def _run(engine: Engine, pixels: Sequence[Pixels]) -> EngineOutput:
    starts = range(0, len(pixels), _BATCH_SIZE)
    outputs = [engine.run(np.stack(pixels[start : start + _BATCH_SIZE])) for start in starts]
    return EngineOutput(
        logits=np.concatenate([output.logits for output in outputs]),
        features=np.concatenate([output.features for output in outputs]),
    )


def _runs_here(spec: EngineSpec) -> bool:
    # Measurements travel with the artifact, CPUs do not.
    if spec.engine == "torch":
        import torch

        return torch.cuda.is_available()
    from classifier_core.engines import openvino

    return openvino.has_bfloat16()


def is_equal_enough(parity: Parity) -> bool:
    """Whether these figures let a faster precision serve."""
    return (
        parity.num_pictures >= MIN_PICTURES
        and parity.top1_agreement >= MIN_TOP1_AGREEMENT
        and parity.known_agreement >= MIN_KNOWN_AGREEMENT
        and _answers_as_well(parity)
    )


def _answers_as_well(parity: Parity) -> bool:
    if parity.accuracy is None or parity.least_accuracy is None:
        return parity.score_difference <= MAX_SCORE_DIFFERENCE
    return parity.accuracy >= parity.least_accuracy


def _subject(artifact: Artifact, spec: EngineSpec) -> dict[str, Any]:
    # A new version of the runtime may round differently.
    runtime = f"{spec.engine} {version(spec.engine)}"
    return {"format": _FORMAT, "artifact_sha256": artifact.sha256, "spec": str(spec), "runtime": runtime}


def _path(artifact: Artifact, spec: EngineSpec) -> Path:
    return artifact.folder / "engines" / f"parity-{spec}.json"


def store_parity(artifact: Artifact, spec: EngineSpec, parity: Parity) -> None:
    """Keep the figures beside the artifact, for `choose_spec` and for whoever imports it."""
    path = _path(artifact, spec)
    path.parent.mkdir(exist_ok=True)
    content = json.dumps({"subject": _subject(artifact, spec), "parity": asdict(parity)}, indent=1) + "\n"
    durable.replace(path, [content.encode()])
