"""A promotion reaches the running worker without one failed request, and so does its way back."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.service import PROJECT_DIR, RunningService
from tests.system.client import Reply, predict
from tests.system.commands import manage
from tests.system.pictures import small_picture

pytestmark = pytest.mark.service
MAX_SECONDS = 10.0  # from the decision to the first answer of the new version
REASON = "the same weights under another name"


@pytest.mark.slow
def test_promotion_and_rollback_reach_the_worker_under_load(service, tmp_path):
    again = changed_copy(PROJECT_DIR / "starters" / "fruit", tmp_path / "again")
    manage(service, "models", "import", str(again), "--model", "fruit")
    first = predict(service.url, small_picture(0), model="fruit").body["model"]["version"]

    promoted = under_load(service, lambda: manage(service, "promote", "fruit", "2", "--force", "--reason", REASON), 2)
    rolled_back = under_load(service, lambda: manage(service, "rollback", "fruit"), 1)

    assert first == 1
    for what, (replies, seconds) in {"promotion": promoted, "rollback": rolled_back}.items():
        print(f"\n{what}: {len(replies)} answers, the new version after {seconds:.1f} s")  # noqa: T201
        assert {(reply.status, reply.body["status"]) for reply in replies} == {(200, "succeeded")}
        assert seconds < MAX_SECONDS


def under_load(service: RunningService, decide: Callable[[], object], version: int) -> tuple[list[Reply], float]:
    """Every answer given meanwhile, and how long after the decision that version answered."""
    replies: list[Reply] = []
    reached, is_over = threading.Event(), threading.Event()

    def post(client: int) -> None:
        number = client
        while not is_over.is_set():
            number += 2
            replies.append(predict(service.url, small_picture(number), model="fruit"))
            if replies[-1].status == 200 and replies[-1].body["model"]["version"] == version:
                reached.set()

    with ThreadPoolExecutor(2) as clients:
        posts = [clients.submit(post, client) for client in range(2)]
        decide()
        start = time.monotonic()
        reached.wait(MAX_SECONDS * 3)
        seconds = time.monotonic() - start
        is_over.set()
    for finished in posts:
        finished.result()
    assert reached.is_set(), "it never answered"
    return replies, seconds


def changed_copy(artifact: Path, folder: Path) -> Path:
    """The same network as another artifact: its provenance, and so its hash, is another."""
    shutil.copytree(artifact, folder)
    described = json.loads((folder / "artifact.json").read_text())
    described["provenance"]["remark"] = REASON
    (folder / "artifact.json").write_text(json.dumps(described))
    return folder
