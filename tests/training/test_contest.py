"""Two versions that are compared run in one way."""

from typing import Any

import pytest

from classifier_core.engines import EngineSpec
from recognizer.registry import configurations
from recognizer.registry.configurations import num_threads
from recognizer.registry.models import EngineTiming, Hardware, ModelVersion, RegisteredModel
from recognizer.training import contest
from tests.recognition import fruit, tiny_store  # noqa: F401
from tests.trial_rows import candidate, mixed_up_folder  # noqa: F401

pytestmark = pytest.mark.django_db
PARITY = EngineTiming.Parity


def timed(version: ModelVersion, rate: float, **fields: Any) -> None:
    usual = {"engine": "openvino", "device": "cpu", "precision": "float32", "num_threads": num_threads()}
    row = {"version": version, "hardware": Hardware.here(), "batch_size": 1, "parity": PARITY.PASSED, "image_ms": 5.0}
    EngineTiming.objects.create(images_per_second=rate, **(usual | row | fields))


@pytest.mark.parametrize(
    ("fastest", "shared"),
    [
        ({"engine": "torch", "num_threads": 7, "parity": PARITY.REFERENCE}, EngineSpec("torch")),
        # Of the candidate nobody measured whether it answers alike in bfloat16.
        ({"precision": "bfloat16", "num_threads": 7}, EngineSpec("openvino")),
    ],
)
def test_candidate_runs_as_the_serving_version(
    fruit: RegisteredModel,  # noqa: F811
    candidate: ModelVersion,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    fastest: dict[str, Any],
    shared: EngineSpec,
):
    monkeypatch.setattr(configurations, "answers_alike", lambda *_: True)  # of what serves
    serving, loaded = fruit.desired_version(), []
    timed(serving, 100)
    timed(serving, 900, **fastest)
    monkeypatch.setattr(contest, "load_classifier", lambda _, spec, *, num_threads: loaded.append((spec, num_threads)))

    entered = contest.enter_both(candidate, serving, {})

    assert loaded == [(shared, 7)] * 2
    assert [(name, one.row) for name, one in entered.items()] == [("candidate", candidate), ("serving", serving)]
