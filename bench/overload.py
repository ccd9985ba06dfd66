"""`python -m bench.overload`: what becomes of uploads when more clients come than the queue takes.

A fresh service with a short queue, first with as many clients as the queue takes, then with more of them: those that
wait as long as a refusal asks them to, and those that send again at once.
"""

import argparse
import http.client
import itertools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from bench.markdown import table
from bench.photos import write_photo
from bench.service import ServiceFailed, fresh_service

ANSWER_SECONDS = 30.0
WARM_UP_SECONDS = 1.0
LOST = 0  # in the place of a status
HEADINGS = (
    *("clients", "after a refusal", "answers/s", "answer p50 ms", "answer p95 ms"),
    *("refused/s", "503 p50 ms", "503 p95 ms", "202", "lost"),
)


@dataclass(frozen=True)
class Seen:
    """What a client saw of one request."""

    status: int
    seconds: float
    ended_at: float  # time.perf_counter()
    retry_after: float = 0.0  # seconds


def main() -> int:
    """Measure and print. Gives 1 when the service does not start."""
    options = parse(sys.argv[1:])
    os.environ["RECOGNIZER_MAX_PENDING"] = str(options.depth)
    try:
        with tempfile.TemporaryDirectory(prefix="recognizer-overload-") as scratch:
            print(table(HEADINGS, measure(Path(scratch), options)))
    except ServiceFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.overload", description="Answers and refusals of a queue that is full."
    )
    parser.add_argument("--depth", type=int, default=24, help="uploads that may wait (default: 24)")
    parser.add_argument("--clients", type=int, nargs="+", default=[48, 96], help="beyond the depth (default: 48 96)")
    parser.add_argument("--model", default="fruit")
    parser.add_argument("--seconds", type=float, default=10, help="of each line (default: 10)")
    return parser.parse_args(arguments)


def measure(scratch: Path, options: argparse.Namespace) -> list[list[str]]:
    """The lines of the table."""
    photo = write_photo(scratch, "500x375").read_bytes()
    (scratch / "data").mkdir()
    asked = [(options.depth, True), *itertools.product(options.clients, (True, False))]
    with fresh_service(scratch / "data") as service:
        press = Press([service.predict_url(options.model)], photo)
        return [
            line(press.run(number, seconds=options.seconds, is_patient=patient), number, options.seconds, patient)
            for number, patient in asked
        ]


class Press:
    """Clients that each send one photo after the other, each with other bytes, over a connection of their own.

    Of several addresses of one service each request takes the next.
    """

    def __init__(self, urls: Sequence[str], photo: bytes) -> None:
        parts = [urlsplit(url) for url in urls]
        self._address, self._paths = parts[0].netloc, [f"{part.path}?{part.query}" for part in parts]
        self._photo, self._numbers = photo, itertools.count(time.time_ns())

    def run(self, num_clients: int, *, seconds: float, is_patient: bool) -> list[Seen]:
        """What all clients saw of the requests that ended in the measured time, after a warm-up."""
        begin = time.perf_counter() + WARM_UP_SECONDS
        end, is_over = begin + seconds, threading.Event()
        with ThreadPoolExecutor(num_clients) as pool:
            clients = [
                pool.submit(lambda: list(self._send_until(end, is_over, is_patient))) for _ in range(num_clients)
            ]
            is_over.wait(end - time.perf_counter())
            is_over.set()
        return [one for client in clients for one in client.result() if begin <= one.ended_at < end]

    def _send_until(self, end: float, is_over: threading.Event, is_patient: bool) -> Iterator[Seen]:
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_SECONDS)
        while time.perf_counter() < end:
            seen = self._send(connection)
            yield seen
            if is_patient and seen.retry_after:
                is_over.wait(seen.retry_after)
        connection.close()

    def _send(self, connection: http.client.HTTPConnection) -> Seen:
        start = time.perf_counter()
        number = next(self._numbers)
        body = self._photo + b"%020d" % number  # after the end marker, which decoders ignore
        try:
            connection.request("POST", self._paths[number % len(self._paths)], body, {"Content-Type": "image/jpeg"})
            reply = connection.getresponse()
            reply.read()
        except OSError:
            connection.close()
            return Seen(LOST, 0.0, time.perf_counter())
        ended_at = time.perf_counter()
        # An answer that is not ready has the header, too: only a refusal is sent again.
        wait = float(reply.headers["Retry-After"] or 0) if reply.status == http.HTTPStatus.SERVICE_UNAVAILABLE else 0.0
        return Seen(reply.status, ended_at - start, ended_at, wait)


def line(seen: list[Seen], num_clients: int, seconds: float, is_patient: bool) -> list[str]:
    """The cells of one line of the table."""
    answers = [one.seconds for one in seen if one.status == http.HTTPStatus.OK]
    refusals = [one.seconds for one in seen if one.status == http.HTTPStatus.SERVICE_UNAVAILABLE]
    num_pending = sum(one.status == http.HTTPStatus.ACCEPTED for one in seen)
    num_lost = len(seen) - len(answers) - len(refusals) - num_pending
    manner = "waits as asked" if is_patient else "sends again at once"
    cells = [str(num_clients), manner, f"{len(answers) / seconds:.1f}", *percentiles(answers)]
    return [*cells, f"{len(refusals) / seconds:.1f}", *percentiles(refusals), str(num_pending), str(num_lost)]


def percentiles(seconds: list[float]) -> list[str]:
    """The median and the 95th percentile, milliseconds."""
    return [f"{value * 1000:.0f}" for value in np.percentile(seconds, [50, 95])] if seconds else ["", ""]


if __name__ == "__main__":
    sys.exit(main())
