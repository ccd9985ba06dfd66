"""Clients that each send one photo after the other over one kept connection.

`python -m bench.client URL PHOTO CLIENTS SECONDS` prints one line of JSON. One process and one thread serve all
clients, with requests made ahead: on a machine of two cores, what the clients burn is missing for the service.
"""

import itertools
import json
import resource
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

BOUNDARY = "----bench7MA4YWxk"
WARM_UP_SECONDS = 1.0
ANSWER_SECONDS = 30.0  # a request without an answer for so long is lost
RECEIVE_BYTES = 65536
LOST = 0  # in the place of a status


@dataclass(frozen=True)
class Load:
    """What the clients saw in the measured time. Latencies are those of answers, in milliseconds."""

    per_second: float  # of answers: status 200
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    num_answers: int
    num_pending: int  # status 202: stored, not answered yet
    num_refused: int  # any other status
    num_lost: int  # connections that broke
    num_sent: int  # in all, before and after the measured time too
    client_cpu: float  # cores that the clients themselves used


class Requests:
    """Requests with one photo, each with other bytes: a counter after the end marker, which decoders ignore."""

    def __init__(self, url: str, photo: bytes) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        opening = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        ).encode()
        self._closing = f"\r\n--{BOUNDARY}--\r\n".encode()
        # Of 16 digits for centuries, and of another value in every run.
        self._numbers = itertools.count(time.time_ns() // 1000)
        num_bytes = len(opening) + len(photo) + 16 + len(self._closing)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\nContent-Length: {num_bytes}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        )
        self._start = head.encode() + opening + photo

    def parts(self) -> list[memoryview]:
        """The pieces of the next request. The photo is shared by all of them."""
        return [memoryview(self._start), memoryview(b"%016d" % next(self._numbers) + self._closing)]


class Client:
    """One connection with one request at a time on it."""

    def __init__(self, requests: Requests, selector: selectors.BaseSelector) -> None:
        self._requests = requests
        self._selector = selector
        self._socket = socket.create_connection(requests.address, timeout=ANSWER_SECONDS)
        self._socket.setblocking(False)
        self._selector.register(self._socket, selectors.EVENT_WRITE, self)

    def begin(self) -> None:
        """Send the next request."""
        self._unsent = self._requests.parts()
        self._received = bytearray()
        self.started_at = time.perf_counter()
        self._send()

    def step(self, events: int) -> int | None:
        """Go on; gives the status once the answer is whole. Raises OSError when the connection broke."""
        if events & selectors.EVENT_WRITE:
            self._send()
            return None
        received = self._socket.recv(RECEIVE_BYTES)
        if not received:
            raise ConnectionResetError("the service closed the connection")
        self._received += received
        return _status(self._received)

    def close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()

    def _send(self) -> None:
        try:
            while self._unsent:
                num_sent = self._socket.sendmsg(self._unsent)
                self._drop(num_sent)
        except BlockingIOError:
            pass
        wanted = selectors.EVENT_WRITE if self._unsent else selectors.EVENT_READ
        if self._selector.get_key(self._socket).events != wanted:
            self._selector.modify(self._socket, wanted, self)

    def _drop(self, num_bytes: int) -> None:
        while num_bytes:
            first = self._unsent[0]
            self._unsent[0] = first[num_bytes:]
            num_bytes -= min(num_bytes, len(first))
            if not self._unsent[0]:
                del self._unsent[0]


def _status(received: bytearray) -> int | None:
    """The status of a whole answer, None while bytes are missing."""
    head, found, body = bytes(received).partition(b"\r\n\r\n")
    if not found:
        return None
    lines = head.lower().split(b"\r\n")
    lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
    if not lengths:
        raise ConnectionError("an answer without Content-Length")
    return int(lines[0].split()[1]) if len(body) >= lengths[0] else None


def run(url: str, photo: bytes, *, num_clients: int, seconds: float, warm_up_seconds: float = WARM_UP_SECONDS) -> Load:
    """Keep all clients busy for a warm-up and then for `seconds`, which are measured."""
    requests = Requests(url, photo)
    begin = time.perf_counter() + warm_up_seconds
    used = resource.getrusage(resource.RUSAGE_SELF)
    outcomes = list(_outcomes(requests, num_clients=num_clients, end=begin + seconds))
    spent = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    measured = [(status, taken) for ended_at, status, taken in outcomes if begin <= ended_at < begin + seconds]
    client_cpu = cpu_seconds / (seconds + warm_up_seconds)
    return _summary(measured, seconds=seconds, num_sent=len(outcomes), client_cpu=client_cpu)


def _outcomes(requests: Requests, *, num_clients: int, end: float) -> Iterator[tuple[float, int, float]]:
    """When each request ended, its status (LOST: the connection broke) and the seconds it took."""
    with selectors.DefaultSelector() as selector:
        for _ in range(num_clients):
            Client(requests, selector).begin()
        for client, status in _ended(selector, end=end):
            ended_at = time.perf_counter()
            yield ended_at, status, ended_at - client.started_at
            if status == LOST:
                client.close()
                client = Client(requests, selector)  # noqa: PLW2901 - a new connection in its place
            client.begin()
        # What is under way is waited for, so that it weighs on nothing that is measured next.
        for client, status in _ended(selector, end=time.perf_counter() + ANSWER_SECONDS):
            yield time.perf_counter(), status, 0.0
            client.close()


def _ended(selector: selectors.BaseSelector, *, end: float) -> Iterator[tuple[Client, int]]:
    """The clients whose request has ended, each with its status, until the time is up or no client is left."""
    while selector.get_map() and (left := end - time.perf_counter()) > 0:
        for key, events in selector.select(timeout=left):
            status = _step(key.data, events)
            if status is not None:
                yield key.data, status


def _step(client: Client, events: int) -> int | None:
    try:
        return client.step(events)
    except OSError:
        return LOST


def _summary(measured: list[tuple[int, float]], *, seconds: float, num_sent: int, client_cpu: float) -> Load:
    statuses = Counter(status for status, _ in measured)
    p50, p95, p99 = _percentiles([taken for status, taken in measured if status == 200])
    num_answers, num_pending, num_lost = (statuses.pop(status, 0) for status in (200, 202, LOST))
    return Load(
        per_second=round(num_answers / seconds, 1),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        num_answers=num_answers,
        num_pending=num_pending,
        num_refused=statuses.total(),
        num_lost=num_lost,
        num_sent=num_sent,
        client_cpu=round(client_cpu, 3),
    )


def _percentiles(seconds: list[float]) -> list[float | None]:
    if not seconds:
        return [None, None, None]
    return [round(float(value) * 1000, 1) for value in np.percentile(seconds, [50, 95, 99])]


def main() -> None:
    url, photo, num_clients, seconds = sys.argv[1:]
    load = run(url, Path(photo).read_bytes(), num_clients=int(num_clients), seconds=float(seconds))
    print(json.dumps(asdict(load)))


if __name__ == "__main__":
    main()
