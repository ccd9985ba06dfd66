"""A network that is no starter goes all the way: built, imported, promoted, answering."""

from pathlib import Path

import pytest

from tests.service import RunningService, wait_until
from tests.system.client import predict
from tests.system.commands import manage
from tests.system.pictures import small_picture

pytestmark = [pytest.mark.service]
BINS = ("glass", "metal", "paper")


def build_ghostnet(folder: Path) -> Path:
    """An untrained GhostNet for pictures of 64 pixels: what it says is noise, that it says it is the point."""
    from classifier_core.architectures import build_model, numpy_state
    from classifier_core.artifact import LabelEntry, save_artifact
    from classifier_core.preprocessing import Preprocessing

    return save_artifact(
        folder,
        state=numpy_state(build_model("ghostnet_100", num_classes=len(BINS))),
        architecture="ghostnet_100",
        head="classifier",
        labels=[LabelEntry(key, {"en": key.capitalize()}) for key in BINS],
        preprocessing=Preprocessing(resize_size=72, crop_size=64),
        provenance={"source": "untrained"},
    ).folder


def test_ghostnet_is_imported_promoted_and_answers(service: RunningService, tmp_path: Path):
    manage(service, "models", "import", str(build_ghostnet(tmp_path / "ghostnet")), "--model", "garbage")
    manage(service, "promote", "garbage", "1")

    # 503 until the worker has seen the promotion.
    wait_until(
        lambda: predict(service.url, small_picture(0), model="garbage").status == 200, seconds=30, what="GhostNet"
    )

    body = predict(service.url, small_picture(1), model="garbage").body
    assert (body["status"], body["model"]["architecture"], body["model"]["version"]) == ("succeeded", "ghostnet_100", 1)
    assert {score["label"] for score in body["scores"]} == set(BINS)
    shown = manage(service, "models", "show", "garbage")
    assert "top-1 100.0%" in shown
