"""Two hundred clients that dawdle take nothing from those that do not."""

import time

import pytest

from tests.service import RunningService
from tests.system.client import Reply, predict, send
from tests.system.pictures import small_picture
from tests.system.slow_clients import count_answered, half_open

pytestmark = pytest.mark.service
MAX_SECONDS = 1.0
NUM_SLOW = 200


def test_half_open_connections_slow_nobody_down(service):
    check_beside_slow_clients(service, seconds=20)


@pytest.mark.long
def test_half_open_connections_slow_nobody_down_for_a_minute(service):
    check_beside_slow_clients(service, seconds=60)


def check_beside_slow_clients(service: RunningService, *, seconds: float) -> None:
    with half_open(service.port, number=NUM_SLOW) as clients:
        replies = ask_for(service, seconds=seconds)
        answered = count_answered(clients)

    slowest = max(replies, key=lambda reply: reply.seconds)
    print(f"\n{len(replies)} requests beside {NUM_SLOW} slow ones: at most {slowest.seconds:.2f} s")  # noqa: T201
    assert answered == 0, "they were still open at the end"
    assert {reply.status for reply in replies} == {200}, slowest
    assert slowest.seconds < MAX_SECONDS


def ask_for(service: RunningService, *, seconds: float) -> list[Reply]:
    """A page that costs nothing and a photo, in turns."""
    replies: list[Reply] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        replies.append(send(f"{service.url}/healthz"))
        replies.append(predict(service.url, small_picture(len(replies))))
    return replies
