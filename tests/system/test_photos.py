"""What the service answers about real photos is what the same artifact, engine and precision answer offline."""

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from classifier_core.classifier import Classification, load_classifier
from classifier_core.engines import EngineSpec
from tests.photos import photos
from tests.service import PROJECT_DIR, RunningService
from tests.system import rows
from tests.system.client import predict

pytestmark = pytest.mark.service
LABELS = PROJECT_DIR / "starters" / "imagenet" / "labels.tsv"  # in the order of the 1,000 classes
MIN_IMAGENET_TOP1 = 0.88
MIN_TOP1 = {"fruit": 0.95, "garbage": 0.9}
SAMPLED = 12  # photos a class
# Stored scores have six decimals. A batch may add in another order than a single picture: measured up to 1e-6.
TOLERANCE = 1e-4

Answer = dict[str, Any]  # as the API gave it


def test_served_imagenet_equals_offline_and_is_right(service):
    folder = photos("imagenet_sample")
    keys = {row["index"]: row["key"] for row in table(LABELS)}
    truth = {folder / row["file"]: keys[row["index"]] for row in table(folder.parent / "imagenet_sample.tsv")}

    served = serve_all(service, list(truth), model="imagenet")

    assert not differences(service, served, model="imagenet")
    right = [served[path]["top"]["label"] == key for path, key in truth.items()]
    print(f"\nServed top-1 on {len(right)} photos: {sum(right) / len(right):.2f}")  # noqa: T201 - shown by pytest -s
    assert sum(right) / len(right) >= MIN_IMAGENET_TOP1


@pytest.mark.parametrize("model", MIN_TOP1)
def test_served_starter_equals_offline_on_a_sample(service, model):
    check_served(service, list(sample(model)), model=model)


@pytest.mark.long
@pytest.mark.parametrize("model", MIN_TOP1)
def test_served_starter_equals_offline_on_all(service, model):
    check_served(service, sorted(photos(model).glob("*/*.jpg")), model=model)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def check_served(service: RunningService, paths: list[Path], *, model: str) -> None:
    served = serve_all(service, paths, model=model)

    assert not differences(service, served, model=model)
    right = [answer["top"]["label"] == path.parent.name for path, answer in served.items()]
    # The model was trained on most of these photos: this says that names and photos belong together, nothing more.
    print(f"\nServed top-1 of {model} on {len(right)} photos: {sum(right) / len(right):.3f}")  # noqa: T201
    assert sum(right) / len(right) > MIN_TOP1[model]


def sample(model: str) -> Iterator[Path]:
    """The same number of photos of each class, spread evenly over its folder."""
    for folder in sorted(photos(model).iterdir()):
        paths = sorted(folder.glob("*.jpg"))
        yield from paths[:: max(1, len(paths) // SAMPLED)][:SAMPLED]


def serve_all(service: RunningService, paths: list[Path], *, model: str) -> dict[Path, Answer]:
    """Post every photo, eight at a time, so that the worker builds batches."""
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda path: predict(service.url, path.read_bytes(), model=model), paths))
    assert {reply.status for reply in replies} == {200}
    return {path: reply.body for path, reply in zip(paths, replies, strict=True)}


def differences(service: RunningService, served: dict[Path, Answer], *, model: str) -> list[str]:
    """Where the served answers and an offline run of what served them are not the same."""
    ran = {tuple(answer["model"].items()) for answer in served.values()}
    assert len(ran) == 1, "one version on one engine answered everything"
    offline = run_offline(service.data_dir, dict(ran.pop()), list(served))
    worst = max(distance(served[path], offline[path]) for path in served)
    print(f"\n{model}: the largest difference of a score is {worst:.1e}")  # noqa: T201 - shown by pytest -s
    return [
        f"{path.name}: {served[path]['scores']} is not {offline[path]}"
        for path in served
        if distance(served[path], offline[path]) > TOLERANCE
    ]


def run_offline(data_dir: Path, model: Answer, paths: list[Path]) -> dict[Path, Classification]:
    """One photo at a time, in this process."""
    folder = data_dir / "media" / "artifacts" / artifact_of(data_dir, model["name"], number=model["version"])
    spec = EngineSpec(model["engine"], model["device"], model["precision"])
    classifier = load_classifier(folder, spec, num_threads=2)
    return dict(classifier.classify_files(paths, top_k=5, batch_size=1))


def artifact_of(data_dir: Path, name: str, *, number: int) -> str:
    sql = (
        "SELECT artifact_sha256 FROM registry_modelversion v JOIN registry_registeredmodel m ON m.id = v.model_id "
        "WHERE m.name = ? AND v.number = ?"
    )
    return str(rows.query(data_dir, sql, name, number)[0][0])


def distance(answer: Answer, offline: Classification) -> float:
    """The largest difference of a score; infinite where the best label or what is known differs."""
    ours, theirs = {score["label"]: score["score"] for score in answer["scores"]}, dict(_pairs(offline))
    if answer["top"]["label"] != offline.scores[0].label or answer["known"] != offline.known:
        return float("inf")
    # The fifth and sixth label may change places when their scores are equal: what both name must be equal.
    return max(abs(ours[label] - theirs[label]) for label in ours.keys() & theirs.keys())


def _pairs(classification: Classification) -> Iterator[tuple[str, float]]:
    return ((score.label, score.score) for score in classification.scores)
