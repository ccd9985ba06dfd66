import dataclasses
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier_core.artifact import Artifact, load_artifact
from classifier_core.crops import sample_crops
from classifier_core.engines import EngineOutput, EngineSpec, load_engine
from classifier_core.engines.graph import graph_folder, load_graph, save_graph
from classifier_core.engines.openvino import OpenVINOEngine, has_bfloat16
from classifier_core.engines.parity import MAX_DIFFERENCE, compare, softmax
from classifier_core.engines.precision import (
    MAX_SCORE_DIFFERENCE,
    certify,
    choose_spec,
    fast_specs,
    is_equal_enough,
    measure_parity,
    stored_parity,
)
from classifier_core.errors import ClassifierError, EngineFailed, EngineUnavailable, ExportFailed
from classifier_core.export import BATCH_SIZES, export_onnx
from classifier_core.known import KnownRule
from classifier_core.preprocessing import Preprocessing

CHECKOUT = Path(__file__).resolve().parents[2]
OPENVINO, TORCH = EngineSpec("openvino"), EngineSpec("torch")
BFLOAT16 = EngineSpec("openvino", "cpu", "bfloat16")

# The two starters' networks are exported in test_starters.
EXPORTED = ["mobilenetv3_small_100", "squeezenet1_1"]
SLOWLY_EXPORTED = ["ghostnet_100", "shufflenet_v2_x1_0", "mnasnet0_5", "resnet18"]


@pytest.fixture
def copied(exported, tmp_path) -> Artifact:
    """An exported artifact that a test may damage."""
    return load_artifact(shutil.copytree(exported.folder, tmp_path / "copy"))


def crops(artifact: Artifact, count: int) -> np.ndarray:
    return np.stack(sample_crops(artifact.preprocessing, count))


@pytest.mark.parametrize(
    "architecture", [*EXPORTED, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWLY_EXPORTED)]
)
def test_exported_graph_computes_what_torch_computes(make_artifact, architecture):
    artifact = make_artifact(architecture)

    parity = export_onnx(artifact)

    assert tuple(parity) == BATCH_SIZES
    assert load_graph(artifact).parity == parity
    for figures in parity.values():
        assert figures.logit_difference < 1e-4
        assert figures.feature_difference < 1e-3
    served = load_engine(artifact, OPENVINO, num_threads=2).run(crops(artifact, 5))
    assert served.logits.shape == (5, 7)
    assert np.ptp(served.logits, axis=0).max() > 0, "all pictures get one answer: the comparison says nothing"


def test_one_channel_model_is_exported(make_artifact):
    how = Preprocessing(method="letterbox", resize_size=64, crop_size=64, channels=1, mean=(0.13,), std=(0.3,))
    artifact = make_artifact("mobilenetv3_small_050", preprocessing=how)

    assert max(figures.logit_difference for figures in export_onnx(artifact).values()) < MAX_DIFFERENCE


def test_normalisation_equals_the_definition(exported):
    pixels = crops(exported, 2)
    network = load_engine(exported, TORCH, num_threads=2).network
    how = exported.preprocessing
    images = (pixels / 255 - np.array(how.mean)) / np.array(how.std)

    with torch.inference_mode():
        by_hand = network(torch.from_numpy(images).permute(0, 3, 1, 2).float())[0].numpy()

    assert np.allclose(load_engine(exported, OPENVINO, num_threads=1).run(pixels).logits, by_hand, atol=1e-5)


def test_feature_map_only_when_asked(exported):
    pixels = crops(exported, 2)
    for spec in (OPENVINO, TORCH):
        plain = load_engine(exported, spec, num_threads=1).run(pixels)
        full = load_engine(exported, spec, num_threads=1, feature_map=True).run(pixels)

        assert plain.feature_map is None
        assert full.feature_map.shape[0] == 2
        assert np.allclose(plain.logits, full.logits, atol=1e-6)
        assert plain.logits.dtype == plain.features.dtype == full.feature_map.dtype == np.float32


@pytest.mark.parametrize("spec", [OPENVINO, TORCH])
def test_batch_equals_one_by_one(exported, spec):
    engine, pixels = load_engine(exported, spec, num_threads=2), crops(exported, 9)

    together = engine.run(pixels).logits
    alone = np.concatenate([engine.run(pixels[index : index + 1]).logits for index in range(9)])

    assert np.allclose(together, alone, atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-7)


def test_earlier_answer_stays_as_it_was(exported):
    engine, pixels = load_engine(exported, OPENVINO, num_threads=1), crops(exported, 2)
    first = engine.run(pixels[:1])
    before = first.logits.copy()

    engine.run(pixels[1:])

    assert np.array_equal(first.logits, before)


@pytest.mark.parametrize("spec", [OPENVINO, TORCH])
def test_threads_do_not_mix_answers(exported, spec):
    engine, pixels = load_engine(exported, spec, num_threads=1), crops(exported, 4)
    expected = [engine.run(pixels[index : index + 1]).logits for index in range(4)]

    def is_right(index: int) -> bool:
        return np.allclose(engine.run(pixels[index : index + 1]).logits, expected[index], atol=1e-6)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(is_right, list(range(4)) * 10))


_FIRST_PICTURES = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from classifier_core.artifact import load_artifact
from classifier_core.engines import EngineSpec, load_engine

artifact = load_artifact(sys.argv[1])
engine = load_engine(artifact, EngineSpec("openvino"), num_threads=2)
size = artifact.preprocessing.crop_size
with ThreadPoolExecutor(8) as threads:
    answers = list(threads.map(engine.run, [np.zeros((1, size, size, 3), np.uint8)] * 8))
print(len(answers))
"""


def test_first_pictures_of_a_process_may_come_together(exported):
    # Two threads that made OpenVINO's first tensors at the same time once waited for each other for ever.
    command = [sys.executable, "-c", _FIRST_PICTURES, str(exported.folder)]
    for _ in range(3):
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == "8\n"


def test_torch_weights_are_channels_last(exported):
    network = load_engine(exported, TORCH, num_threads=1).network
    kernels = [tensor for tensor in network.parameters() if tensor.ndim == 4 and tensor.shape[1] > 1 < tensor.shape[2]]

    assert kernels, "no layer could tell the two formats apart"
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in kernels)
    assert not any(tensor.is_contiguous() for tensor in kernels)


@pytest.mark.parametrize("spec", [OPENVINO, TORCH])
def test_failing_runtime_is_said_in_words(exported, spec):
    engine = load_engine(exported, spec, num_threads=1)

    with pytest.raises(EngineFailed, match="could not answer"):
        engine.run(np.zeros((1, 64, 64, 5), np.uint8))
    assert engine.run(crops(exported, 1)).logits.shape == (1, 7)


def test_openvino_that_cannot_load_says_so(copied):
    shutil.rmtree(graph_folder(copied))
    save_graph(copied, b"no graph", parity={}, exporter={})

    with pytest.raises(EngineUnavailable, match="OpenVINO cannot load"):
        load_engine(copied, OPENVINO, num_threads=1)


def test_torch_that_cannot_load_says_so(make_artifact):
    artifact = make_artifact("squeezenet1_1")
    too_small = dataclasses.replace(artifact.preprocessing, crop_size=4)

    with pytest.raises(EngineUnavailable, match="torch cannot load"):
        load_engine(dataclasses.replace(artifact, preprocessing=too_small), TORCH, num_threads=1)


def test_lack_of_memory_is_not_the_engines_fault(exported, monkeypatch):
    def exhausted(*_: object) -> None:
        raise MemoryError

    engine = load_engine(exported, TORCH, num_threads=1)
    monkeypatch.setattr(engine, "network", exhausted)
    with pytest.raises(MemoryError):
        engine.run(crops(exported, 1))


@pytest.mark.parametrize(
    "spec",
    [EngineSpec("openvino", "cuda"), EngineSpec("openvino", "cpu", "float16"), EngineSpec("torch", "cpu", "float16")],
)
def test_senseless_spec_is_refused(exported, spec):
    with pytest.raises(EngineUnavailable, match="does not run"):
        load_engine(exported, spec, num_threads=1)


def test_each_torch_network_keeps_its_threads(exported, one_thread):
    seen: list[int] = []
    engines = [load_engine(exported, TORCH, num_threads=count) for count in (1, 2)]
    for engine in engines:
        engine.network.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))

    with ThreadPoolExecutor(1) as elsewhere:
        for engine in (*engines, *engines):
            engine.run(crops(exported, 1))
            elsewhere.submit(engine.run, crops(exported, 1)).result()

    assert seen == [1, 1, 2, 2, 1, 1, 2, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device_is_an_error(exported):
    with pytest.raises(EngineUnavailable, match="device cpu"):
        load_engine(exported, EngineSpec("torch", "cuda"), num_threads=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "agreement"), [("float32", 1.0), ("bfloat16", 0.9), ("float16", 0.9)])
def test_cuda_answers_like_cpu(exported, precision, agreement):
    pixels = crops(exported, 32)
    engine = load_engine(exported, EngineSpec("torch", "cuda", precision), num_threads=2)

    assert (
        compare(load_engine(exported, TORCH, num_threads=2).run(pixels), engine.run(pixels)).top1_agreement >= agreement
    )


def test_torch_runs_bfloat16_on_cpu(exported):
    pixels = crops(exported, 4)
    output = load_engine(exported, EngineSpec("torch", "cpu", "bfloat16"), num_threads=2).run(pixels)

    assert output.logits.dtype == np.float32
    assert compare(load_engine(exported, TORCH, num_threads=2).run(pixels), output).logit_difference < 0.2


def test_pixels_that_nobody_may_write_are_answered(exported):
    pixels = np.stack(sample_crops(exported.preprocessing, 2))
    engine = load_engine(exported, OPENVINO, num_threads=2)
    answered = engine.run(pixels).logits
    pixels.flags.writeable = False

    assert np.array_equal(engine.run(pixels).logits, answered)


@pytest.mark.parametrize(("accuracy", "chosen"), [(0.9, BFLOAT16), (0.87, OPENVINO)])
def test_right_answers_count_more_than_moved_scores(measured, tmp_path, monkeypatch, accuracy, chosen):
    monkeypatch.setattr("classifier_core.engines.openvino.has_bfloat16", lambda: True)
    seen = {"score_difference": 0.4, "accuracy": accuracy, "least_accuracy": 0.88}

    assert choose_spec(with_bfloat16_measurement(measured, tmp_path / "copy", seen), "cpu") == chosen


def test_photos_certify_a_precision(copied):
    crops = sample_crops(copied.preprocessing, 500)
    targets = np.zeros(500, np.int64)

    parity = certify(copied, OPENVINO, crops, targets=targets, groups=range(500), num_threads=2)

    assert parity.accuracy >= parity.least_accuracy
    assert is_equal_enough(parity)
    assert not is_equal_enough(dataclasses.replace(parity, accuracy=parity.least_accuracy - 0.01))


@pytest.mark.skipif(has_bfloat16(), reason="this CPU has bfloat16")
def test_bfloat16_is_refused_without_the_hardware(exported):
    with pytest.raises(EngineUnavailable, match="bfloat16"):
        load_engine(exported, BFLOAT16, num_threads=1)


def test_missing_graph_says_what_to_do(make_artifact):
    with pytest.raises(EngineUnavailable, match="Import the model again"):
        load_engine(make_artifact("mobilenetv3_small_050"), OPENVINO, num_threads=1)


def damage_graph(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def damage_manifest(folder: Path) -> None:
    (folder / "engine.json").write_text("[1, 2")


def adopt(folder: Path) -> None:
    manifest = json.loads((folder / "engine.json").read_text())
    (folder / "engine.json").write_text(json.dumps(manifest | {"artifact_sha256": "0" * 64}))


@pytest.mark.parametrize("damage", [damage_graph, damage_manifest, adopt])
def test_damaged_graph_is_refused(copied, damage):
    damage(graph_folder(copied))

    with pytest.raises(EngineUnavailable, match="Delete it"):
        load_engine(copied, OPENVINO, num_threads=1)
    with pytest.raises(EngineUnavailable, match="Delete it"):
        export_onnx(copied)


def test_second_export_changes_nothing(copied):
    before = load_graph(copied)

    assert export_onnx(copied) == before.parity
    assert load_graph(copied) == before


def test_export_that_differs_writes_nothing(make_artifact, monkeypatch):
    artifact = make_artifact("mobilenetv3_small_050")
    shifted = dataclasses.replace(artifact.preprocessing, mean=(0.4, 0.4, 0.4))

    def with_other_mean(onnx: bytes, _preprocessing: Preprocessing, spec: EngineSpec, **options: object):
        return OpenVINOEngine(onnx, shifted, spec, **options)

    monkeypatch.setattr("classifier_core.export.OpenVINOEngine", with_other_mean)
    with pytest.raises(ExportFailed, match="differs from torch"):
        export_onnx(artifact)

    assert not graph_folder(artifact).exists()


def test_figures_of_a_known_difference():
    reference = np.array([[0, 2], [4, 0]], np.float32)
    candidate = np.array([[0, 2], [0, 1]], np.float32)

    figures = compare(EngineOutput(reference, reference), EngineOutput(candidate, candidate))

    assert (figures.num_pictures, figures.top1_agreement, figures.logit_difference) == (2, 0.5, 1.0)
    assert figures.score_difference == pytest.approx(1 / (1 + np.exp(-4)) - 1 / (1 + np.exp(1)))


@pytest.mark.parametrize(("known_score", "agreement"), [(0.0, 1.0), (0.6, 0.5), (0.9, 0.5), (0.99, 1.0)])
def test_known_is_compared_on_calibrated_scores(known_score, agreement):
    reference = np.array([[0, 2], [4, 0]], np.float32)  # at temperature 2: scores 0.73 and 0.88
    candidate = np.array([[0, 9], [0, 0]], np.float32)  # 0.99 and 0.5
    outputs = (EngineOutput(logits, logits) for logits in (reference, candidate))

    figures = compare(*outputs, temperature=2, known=KnownRule(known_score))

    assert figures.known_agreement == agreement
    assert figures.score_difference == pytest.approx(1 / (1 + np.exp(-2)) - 0.5)


def test_softmax_by_hand():
    scores = softmax(np.array([[0, np.log(3)], [1e4, 0]], np.float32))

    assert scores == pytest.approx(np.array([[0.25, 0.75], [1, 0]]))
    assert softmax(np.array([[0, np.log(9)]], np.float32), temperature=2)[0, 1] == pytest.approx(0.75)


@pytest.fixture(scope="module")
def measured(exported, tmp_path_factory) -> Artifact:
    """An artifact with a stored measurement of float32, which every CPU can make."""
    artifact = load_artifact(shutil.copytree(exported.folder, tmp_path_factory.mktemp("measured") / "model"))
    measure_parity(artifact, OPENVINO, sample_crops(artifact.preprocessing, 500), num_threads=2)
    return artifact


def with_bfloat16_measurement(measured: Artifact, folder: Path, changes: dict[str, object]) -> Artifact:
    """A copy with the file that a passing bfloat16 measurement leaves, and some of its entries changed."""
    artifact = load_artifact(shutil.copytree(measured.folder, folder))
    engines = artifact.folder / "engines"
    content = json.loads((engines / f"parity-{OPENVINO}.json").read_text())
    content["subject"]["spec"] = str(BFLOAT16)
    for group in content.values():
        group.update({key: value for key, value in changes.items() if key in group})
    (engines / f"parity-{BFLOAT16}.json").write_text(json.dumps(content))
    return artifact


def test_float32_agrees_with_itself(copied):
    parity = measure_parity(copied, OPENVINO, sample_crops(copied.preprocessing, 500), num_threads=2)

    assert (parity.num_pictures, parity.top1_agreement, parity.score_difference) == (500, 1.0, 0.0)


def test_few_pictures_measure_nothing(copied):
    with pytest.raises(ClassifierError, match="500"):
        measure_parity(copied, OPENVINO, sample_crops(copied.preprocessing, 499), num_threads=1)


def test_unmeasured_precision_is_not_chosen(exported):
    assert choose_spec(exported, "cpu") == OPENVINO
    assert choose_spec(exported, "cuda") == EngineSpec("torch", "cuda", "float32")


def test_measured_precision_is_chosen(measured, tmp_path, monkeypatch):
    monkeypatch.setattr("classifier_core.engines.openvino.has_bfloat16", lambda: True)

    assert choose_spec(with_bfloat16_measurement(measured, tmp_path / "copy", {}), "cpu") == BFLOAT16


@pytest.mark.skipif(has_bfloat16(), reason="this CPU has bfloat16")
def test_measurement_from_elsewhere_needs_the_hardware(measured, tmp_path):
    assert choose_spec(with_bfloat16_measurement(measured, tmp_path / "copy", {}), "cpu") == OPENVINO


@pytest.mark.parametrize(
    "changes",
    [
        {"top1_agreement": 0.969}, {"num_pictures": 499}, {"known_agreement": 0.969}, {"format": 1},
        {"score_difference": MAX_SCORE_DIFFERENCE + 0.01}, {"artifact_sha256": "0"}, {"runtime": "openvino 1"},
        {"spec": "other"},
    ],
)  # fmt: skip
def test_failing_or_foreign_measurement_is_not_chosen(measured, tmp_path, changes, monkeypatch):
    monkeypatch.setattr("classifier_core.engines.openvino.has_bfloat16", lambda: True)

    assert choose_spec(with_bfloat16_measurement(measured, tmp_path / "copy", changes), "cpu") == OPENVINO


def test_measurement_is_found_again(measured, exported):
    assert stored_parity(measured, OPENVINO).num_pictures == 500
    assert stored_parity(exported, OPENVINO) is None


@pytest.mark.parametrize(("has_cuda", "has_cpu"), [(True, False), (False, True), (False, False)])
def test_only_what_runs_here_is_measured(has_cuda, has_cpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr("classifier_core.engines.openvino.has_bfloat16", lambda: has_cpu)

    assert [spec.device for spec in fast_specs()] == ["cpu"] * has_cpu + ["cuda"] * has_cuda


def test_unreadable_measurement_is_not_chosen(copied):
    (copied.folder / "engines" / f"parity-{BFLOAT16}.json").write_text("{")

    assert choose_spec(copied, "cpu") == OPENVINO
