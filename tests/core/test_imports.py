import subprocess
import sys

LIGHT = ["", ".artifact", ".errors", ".image_headers", ".images", ".preprocessing", ".classifier", ".engines", ".crops"]
HEAVY = {"torch", "torchvision", "timm", "onnx", "openvino", "sklearn", "django", "celery"}


def loaded_by(code: str) -> set[str]:
    command = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.check_output([sys.executable, "-c", command], text=True).split())


def test_light_modules_load_nothing_heavy():
    code = "\n".join(f"import classifier_core{name}" for name in LIGHT)

    assert not loaded_by(code) & HEAVY


def test_serving_engine_loads_no_torch(exported):
    code = (
        "from classifier_core.classifier import load_classifier\n"
        "from classifier_core.engines import EngineSpec\n"
        "from classifier_core.crops import sample_crops\n"
        f"model = load_classifier({str(exported.folder)!r}, EngineSpec(), num_threads=1)\n"
        "assert model.classify(sample_crops(model.artifact.preprocessing, 2), top_k=1)"
    )

    assert loaded_by(code) & HEAVY == {"openvino"}


def test_heavy_modules_are_seen():
    assert {"torch", "openvino"} <= loaded_by("import classifier_core.export, classifier_core.engines.openvino")
