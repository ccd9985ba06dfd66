"""The web process: `python -m recognizer.web`.

waitress reads a whole request before it takes a thread, so slow clients hold sockets, never threads.
"""

import gc
import os
import signal
import threading

import waitress
from django.conf import settings
from django.urls import get_resolver
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, MultiSocketServer
from waitress.task import ThreadedTaskDispatcher, WSGITask

from recognizer.wsgi import application

MAX_CONNECTIONS = 2000  # waitress' default of 100 lets 100 half-open connections stop the service
# Far above the largest allowed upload in base64, so that our own 413 answers; beyond it waitress refuses unread.
MAX_BODY_BYTES = 128 * 1024 * 1024
RECEIVE_BYTES = 131_072  # waitress' 8192: 24 ms of processor time to read a photo of 5 MB; this: 9 ms
FLUSH_ROUNDS = 10  # of the socket loop at the end, each 0.1 s at most


class NewestFirst(threading.Condition):
    """Wakes whoever began to wait last: its memory and its database connection are still in the processor's caches.

    The first come would make each request the turn of another one of all threads.
    """

    def notify(self, n: int = 1) -> None:
        self._waiters.rotate(n)  # type: ignore[attr-defined]
        super().notify(n)


class Task(WSGITask):
    """A request whose answer, where it is one piece, goes out together with its header: one packet, not two."""

    wrote_header: bool

    def write(self, data: bytes) -> None:
        """Send a piece of the answer, and before the first one the header."""
        if self.wrote_header or not self.has_body or self.content_length != len(data):
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header, self.content_bytes_written = True, len(data)


class Channel(HTTPChannel):
    """A connection whose answer is sent by the thread that made it, and by the socket loop only what that leaves.

    waitress' own calls itself writable meanwhile: the loop then spins, finds the buffer locked each time, and keeps the
    interpreter from the very thread that sends. At 8 clients: 46 to 28 switches of a request.
    """

    task_class = Task
    _is_being_sent = False

    def writable(self) -> bool:
        """Whether the socket loop has something to send or to close."""
        return bool(super().writable()) and not self._is_being_sent

    def _flush_some(self, do_close: bool = True) -> bool:
        # A thread that cannot send everything wakes the loop after this.
        self._is_being_sent = True
        try:
            return bool(super()._flush_some(do_close))
        finally:
            self._is_being_sent = False


def main() -> None:
    """Serve until the process is told to stop; requests that are in hand are answered first."""
    signal.signal(signal.SIGTERM, _stop)
    sockets: dict[int, wasyncore.dispatcher] = {}
    server = _create_server(sockets)
    _keep_what_is_loaded()
    for listener in sockets.values():  # one for each address of the host
        if isinstance(listener, BaseWSGIServer):
            listener.channel_class = Channel
    # Not server.run(): where one name has two addresses, as localhost has, its end closes the connections in hand.
    try:
        wasyncore.loop(timeout=1, map=sockets, use_poll=True)  # select() ends at file descriptor 1023
    except SystemExit:
        server.task_dispatcher.shutdown()  # up to 5 s for the threads to finish
    wasyncore.loop(timeout=0.1, map=sockets, use_poll=True, count=FLUSH_ROUNDS)  # what they answered goes out


def _keep_what_is_loaded() -> None:
    """Spare the garbage collector what stays: to look through it holds up all requests for 80 ms each time."""
    _ = get_resolver().url_patterns  # loads the views, which the first request would do
    gc.collect()
    gc.freeze()


def _stop(*_: object) -> None:
    raise SystemExit


def _create_server(sockets: dict[int, wasyncore.dispatcher]) -> BaseWSGIServer | MultiSocketServer:
    return waitress.create_server(
        application,
        _dispatcher=_create_dispatcher(),
        map=sockets,
        host=os.environ.get("RECOGNIZER_HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8000")),
        threads=settings.RECOGNIZER_WEB_THREADS,
        connection_limit=MAX_CONNECTIONS,
        max_request_body_size=MAX_BODY_BYTES,
        recv_bytes=RECEIVE_BYTES,
        channel_timeout=60,
        ident=None,
        clear_untrusted_proxy_headers=True,
        trusted_proxy=settings.RECOGNIZER_TRUSTED_PROXY or None,
        trusted_proxy_headers=set(settings.RECOGNIZER_TRUSTED_PROXY_HEADERS),
    )


def _create_dispatcher() -> ThreadedTaskDispatcher:
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.queue_cv = NewestFirst(dispatcher.lock)
    dispatcher.set_thread_count(settings.RECOGNIZER_WEB_THREADS)
    return dispatcher


if __name__ == "__main__":
    main()
