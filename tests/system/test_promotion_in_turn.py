"""Two versions that serve in turn under load: no failed request, and each answer is that of the version it names."""

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.service import RunningService
from tests.system.client import Reply, predict
from tests.system.commands import manage
from tests.system.pictures import small_picture
from tests.system.test_photos import TOLERANCE, distance, run_offline

pytestmark = [pytest.mark.service, pytest.mark.long]
MODEL, VERSIONS = "garbage", ("1", "2")  # a GhostNet and a MobileNetV2, which answer differently
SECONDS, EVERY_SECONDS = 120.0, 5.0
NUM_CLIENTS, NUM_PICTURES = 4, 24


def test_versions_in_turn_answer_as_offline(service: RunningService, tmp_path: Path):
    pictures = [tmp_path / f"{number}.png" for number in range(NUM_PICTURES)]
    for number, path in enumerate(pictures):
        path.write_bytes(small_picture(number))

    replies, num_promotions = answered_while_promoting(service, pictures)

    print(f"\n{num_promotions} promotions, {len(replies)} answers")  # noqa: T201 - shown by pytest -s
    assert num_promotions >= SECONDS / EVERY_SECONDS - 1
    assert Counter((reply.status, reply.body["status"]) for _, reply in replies) == {(200, "succeeded"): len(replies)}
    assert {str(reply.body["model"]["version"]) for _, reply in replies} == set(VERSIONS)
    assert different_from_offline(service, replies, pictures) == []


def answered_while_promoting(service: RunningService, pictures: list[Path]) -> tuple[list[tuple[Path, Reply]], int]:
    """Each answer with its picture, and how many promotions there were."""
    replies: list[tuple[Path, Reply]] = []
    is_over = threading.Event()

    def post(client: int) -> None:
        for path in itertools.cycle(pictures[client:] + pictures[:client]):
            if is_over.is_set():
                return
            replies.append((path, predict(service.url, path.read_bytes(), model=MODEL)))

    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        posts = [clients.submit(post, client) for client in range(NUM_CLIENTS)]
        try:
            num_promotions = promote_in_turn(service)
        finally:
            is_over.set()
    for finished in posts:
        finished.result()
    return replies, num_promotions


def promote_in_turn(service: RunningService) -> int:
    start = time.monotonic()
    for number in itertools.count():
        if (left := start + number * EVERY_SECONDS - time.monotonic()) > 0:
            time.sleep(left)
        if time.monotonic() - start > SECONDS:
            return number
        manage(service, "promote", MODEL, VERSIONS[number % 2], "--force", "--reason", "in turn")
    raise AssertionError("count() never ends")


def different_from_offline(
    service: RunningService, replies: list[tuple[Path, Reply]], pictures: list[Path]
) -> list[str]:
    models = {reply.body["model"]["version"]: reply.body["model"] for _, reply in replies}
    offline = {number: run_offline(service.data_dir, model, pictures) for number, model in models.items()}
    return [
        f"{path.name} by version {reply.body['model']['version']}"
        for path, reply in replies
        if distance(reply.body, offline[reply.body["model"]["version"]][path]) > TOLERANCE
    ]
