"""A version that does not serve, of another network than the one that does, goes all the way."""

import pytest

from tests.service import RunningService, wait_until
from tests.system.client import predict
from tests.system.commands import manage
from tests.system.pictures import small_picture

pytestmark = [pytest.mark.service]
BINS = {"cardboard", "glass", "metal", "paper", "plastic", "trash"}


def model_of(service: RunningService, number: int) -> tuple[str, int]:
    body = predict(service.url, small_picture(number), model="garbage").body
    assert body["status"] == "succeeded"
    assert {score["label"] for score in body["scores"]} <= BINS
    return body["model"]["architecture"], body["model"]["version"]


@pytest.mark.slow
def test_ghostnet_serves_garbage_once_it_is_promoted(service: RunningService):
    assert model_of(service, 0) == ("mobilenet_v2", 2)

    manage(service, "promote", "garbage", "1", "--force", "--reason", "less arithmetic")
    wait_until(lambda: model_of(service, 1) == ("ghostnet_100", 1), seconds=30, what="GhostNet")

    manage(service, "rollback", "garbage")
    wait_until(lambda: model_of(service, 2) == ("mobilenet_v2", 2), seconds=30, what="MobileNetV2 again")
    shown = manage(service, "models", "show", "garbage")
    assert "top-1 100.0%" in shown
