"""The ONNX graph exported from an artifact: `engines/onnx/model.onnx`, and `engine.json` which says what it is.

Input `images`, float32 [N, channels, size, size], normalised; outputs `logits`, `features`, `feature_map`.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from classifier_core.artifact import Artifact, write_folder
from classifier_core.engines.parity import Parity
from classifier_core.errors import EngineUnavailable

INPUT = "images"
OUTPUTS = ("logits", "features", "feature_map")

_FORMAT = 1
_GRAPH = "model.onnx"
_MANIFEST = "engine.json"


@dataclass(frozen=True)
class Graph:
    """An exported graph that was checked against the artifact. `parity` is by batch size."""

    onnx: bytes
    sha256: str
    parity: dict[int, Parity]


def graph_folder(artifact: Artifact) -> Path:
    """Where the exported graph of this artifact lies, if there is one."""
    return artifact.folder / "engines" / "onnx"


def load_graph(artifact: Artifact) -> Graph:
    """The exported graph.

    Raises EngineUnavailable when there is none, or one that is damaged or belongs to another artifact.
    """
    folder = graph_folder(artifact)
    try:
        onnx, manifest = (folder / _GRAPH).read_bytes(), json.loads((folder / _MANIFEST).read_bytes())
        parity = {int(size): Parity(**figures) for size, figures in manifest["parity"].items()}
        belongs = (manifest["format"], manifest["artifact_sha256"]) == (_FORMAT, artifact.sha256)
        intact = manifest["graph_sha256"] == hashlib.sha256(onnx).hexdigest()
    except FileNotFoundError as error:
        raise EngineUnavailable(f"{artifact.folder} has no exported graph yet. Import the model again.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineUnavailable(f"{folder} cannot be read. Delete it and import the model again.") from error
    if not (belongs and intact):
        raise EngineUnavailable(f"{folder} is damaged or of another model. Delete it and import the model again.")
    return Graph(onnx, str(manifest["graph_sha256"]), parity)


def save_graph(artifact: Artifact, onnx: bytes, *, parity: dict[int, Parity], exporter: dict[str, Any]) -> Graph:
    """Write the graph beside its artifact; `exporter` names the versions that made it. Raises OSError."""
    manifest = {
        "format": _FORMAT,
        "artifact_sha256": artifact.sha256,
        "graph_sha256": hashlib.sha256(onnx).hexdigest(),
        "input": INPUT,
        "outputs": OUTPUTS,
        "exporter": exporter,
        "parity": {str(size): asdict(figures) for size, figures in parity.items()},
    }
    write_folder(graph_folder(artifact), {_GRAPH: onnx, _MANIFEST: (json.dumps(manifest, indent=1) + "\n").encode()})
    return load_graph(artifact)
