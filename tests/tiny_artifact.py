"""An artifact of a real network, small enough for unit tests. Knows no Django."""

from pathlib import Path
from typing import Any

NAMES = {
    "apple": {"en": "Apple", "zh": "苹果"},
    "banana": {"en": "Banana", "zh": "香蕉"},
    "cherry": {"en": "Cherry", "zh": "樱桃"},
    "kiwi": {"en": "Kiwi", "zh": "猕猴桃"},
    "lemon": {"en": "Lemon", "zh": "柠檬"},
    "mango": {"en": "Mango", "zh": "芒果"},
    "orange": {"en": "Orange", "zh": "橙子"},
    "pear": {"en": "Pear", "zh": "梨"},
}


MIXED_UP = {"apple": "banana", "banana": "cherry", "cherry": "kiwi", "kiwi": "apple"}  # what build_mixed_up says for it


def build_mixed_up(tiny: Path, folder: Path) -> None:
    """The same network, with some labels in the place of others. Takes no torch: the graph is the same."""
    from classifier_core.artifact import LabelEntry, load_artifact, save_artifact
    from classifier_core.engines.graph import load_graph, save_graph

    right = load_artifact(tiny)
    wrong = save_artifact(
        folder,
        state=right.load_state(),
        architecture=right.architecture,
        head=right.head,
        labels=[LabelEntry(key, NAMES[key]) for key in (MIXED_UP.get(one.key, one.key) for one in right.labels)],
        preprocessing=right.preprocessing,
        calibration=right.calibration,
        thresholds=right.thresholds,
        provenance={"source": "labels mixed up"},
    )
    graph = load_graph(right)
    save_graph(wrong, graph.onnx, parity=graph.parity, exporter={})


def build_tiny(folder: Path | str, *, export: bool = False, seed: int = 0, **provenance: Any) -> None:
    """An artifact of eight classes for pictures of 64 pixels. Its weights are random, its answers are not."""
    import torch

    from classifier_core.architectures import build_model, numpy_state
    from classifier_core.artifact import Calibration, LabelEntry, Preprocessing, Thresholds, save_artifact
    from classifier_core.export import export_onnx

    torch.manual_seed(seed)
    state = numpy_state(build_model("mobilenetv3_small_050", num_classes=len(NAMES)))
    state["classifier.weight"] *= 40  # else all scores are alike
    artifact = save_artifact(
        folder,
        state=state,
        architecture="mobilenetv3_small_050",
        head="classifier",
        labels=[LabelEntry(key, names) for key, names in NAMES.items()],
        preprocessing=Preprocessing(resize_size=64, crop_size=64),
        calibration=Calibration(1.5),
        thresholds=Thresholds(0.1),
        provenance={"source": "random weights", **provenance},
    )
    if export:
        export_onnx(artifact)
