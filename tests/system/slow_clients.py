"""Clients that open a request and never finish it."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

TRICKLE_SECONDS = 0.5  # between two pieces of a request
SLOW_HEADERS = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
SLOW_BODY = (
    b"POST /api/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
)


@contextmanager
def half_open(port: int, *, number: int) -> Iterator[list[socket.socket]]:
    """So many requests whose headers (one half) or bodies (the other) come byte by byte."""
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(number)]
        for index, client in enumerate(clients):
            client.sendall(SLOW_BODY if index % 2 else SLOW_HEADERS)
        done = threading.Event()
        trickle = threading.Thread(target=_trickle, args=(clients, done))
        trickle.start()
        try:
            yield clients
        finally:
            done.set()
            trickle.join()


def _trickle(clients: list[socket.socket], done: threading.Event) -> None:
    while not done.wait(TRICKLE_SECONDS):
        for client in clients:
            client.sendall(b"x")


def count_answered(clients: list[socket.socket]) -> int:
    """How many of them the server has answered or hung up on."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        return len(selector.select(timeout=0))
