"""Wake-ups between web and workers. Losing one costs time, never a row: the reconciler finds what waits."""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import structlog
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from recognizer import broker
from recognizer.celery import app

log = structlog.get_logger(__name__)

PENDING_RING = "recognizer:ring:predict"
RING_SECONDS = 5  # a flag whose ring got lost stops further rings for no longer than the reconciler's period
ANSWER_SECONDS = 30  # an answer nobody waits for is forgotten
SLICE_SECONDS = 0.8  # of a wait: shorter than the socket's own timeout
QUIET_SECONDS = 2.0  # after a broker did not answer: one request pays for finding that out, not each


def ring() -> bool:
    """Wake a worker unless a ring is on its way. False when the broker does not answer."""
    if _is_quiet():
        return False
    try:
        if broker.connection().set(PENDING_RING, 1, nx=True, ex=RING_SECONDS):
            app.send_task("predict", queue="predict", retry=False)
    except (RedisError, KombuError, OSError) as error:
        _be_quiet()
        log.warning("ring lost, the reconciler will find the row", error=str(error))
        return False
    return True


def clear() -> None:
    """Let the next upload ring again. Called before the first claim, or a ring between the two is lost."""
    with contextlib.suppress(RedisError, OSError):
        broker.connection().delete(PENDING_RING)


def announce(predictions: Iterable[UUID]) -> None:
    """Tell whoever waits that these rows have ended."""
    with contextlib.suppress(RedisError, OSError):
        pipeline = broker.connection().pipeline(transaction=False)
        for key in map(_answer_key, predictions):
            pipeline.rpush(key, 1)
            pipeline.expire(key, ANSWER_SECONDS)
        pipeline.execute()


def wait_for(prediction: UUID, *, seconds: float) -> bool:
    """Wait for an announcement. False when time is up or the broker does not answer."""
    key, deadline = _answer_key(prediction), time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0 and not _is_quiet():
            # Put back as it is taken: a request with the same idempotency key may wait beside this one.
            seconds_left = min(left, SLICE_SECONDS)
            if broker.connection().blmove(key, key, timeout=seconds_left):  # type: ignore[arg-type]  # takes fractions
                return True
    except (RedisError, OSError):
        _be_quiet()
    return False


def _is_quiet() -> bool:
    return time.monotonic() < _quiet.until


def _be_quiet() -> None:
    _quiet.until = time.monotonic() + QUIET_SECONDS


@dataclass
class _Quiet:
    until: float = 0.0  # time.monotonic()


_quiet = _Quiet()


def _answer_key(prediction: UUID) -> str:
    return f"recognizer:answer:{prediction}"
