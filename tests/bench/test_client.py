"""What the load generator counts, against a server whose answers are known."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import pytest

from bench.client import Load, run

BROKEN = 0
PHOTO = b"\xff\xd8 not decoded here \xff\xd9"


class Scripted(ThreadingHTTPServer):
    """Answers with the given statuses in turn and keeps every body. BROKEN: it hangs up without an answer."""

    daemon_threads = True

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.statuses = cycle(statuses)
        self.bodies: list[bytes] = []
        self.given: Counter[int] = Counter()


class ScriptedHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        status = next(self.server.statuses)
        self.server.given[status] += 1
        if status == BROKEN:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def start_server() -> Iterator[object]:
    servers: list[Scripted] = []

    def start(statuses: list[int]) -> Scripted:
        servers.append(Scripted(statuses))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def load(server: Scripted, *, num_clients: int = 2) -> Load:
    url = f"http://127.0.0.1:{server.server_address[1]}/api/predict/?model=fruit"
    return run(url, PHOTO, num_clients=num_clients, seconds=0.3, warm_up_seconds=0.05)


def test_every_kind_of_ending_is_counted_apart(start_server) -> None:
    server = start_server([200, 200, 202, 503, BROKEN])

    seen = load(server)

    assert seen.num_sent == server.given.total()
    assert seen.num_answers > 0
    assert seen.num_pending > 0
    assert seen.num_refused > 0
    assert seen.num_lost > 0
    assert seen.num_answers + seen.num_pending + seen.num_refused + seen.num_lost <= seen.num_sent


def test_only_answers_make_the_pace(start_server) -> None:
    seen = load(start_server([202, 503]))

    assert seen.per_second == 0
    assert (seen.p50_ms, seen.p95_ms, seen.p99_ms) == (None, None, None)


def test_no_two_requests_have_the_same_bytes(start_server) -> None:
    server = start_server([200])

    load(server)

    images = [re.search(rb"\r\n\r\n(.*)\r\n--", body, re.DOTALL)[1] for body in server.bodies]
    assert len(images) > 10
    assert len(set(images)) == len(images)
    assert all(image.startswith(PHOTO) for image in images)


def test_latencies_are_those_of_the_server(start_server) -> None:
    seen = load(start_server([200]), num_clients=1)

    assert 0 < seen.p50_ms <= seen.p95_ms <= seen.p99_ms < 300
    assert seen.per_second == pytest.approx(seen.num_answers / 0.3, abs=0.1)
