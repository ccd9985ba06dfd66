"""Wake-ups between web and workers. Losing one costs time, never a row: the reconciler finds what waits."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from recognizer import broker
from recognizer.celery import app

log = structlog.get_logger(__name__)

PENDING_RING = "recognizer:ring:predict"
LISTENING = "recognizer:listening:predict"  # a worker with nothing to do hears of the next upload without a task
WAKE = "recognizer:wake:predict"
RING_SECONDS = 5  # a flag whose ring got lost stops further rings for no longer than the reconciler's period
ANSWER_SECONDS = 30  # an answer nobody waits for is forgotten
SLICE_SECONDS = 0.8  # of a wait: shorter than the socket's own timeout
QUIET_SECONDS = 2.0  # after a broker did not answer: one request pays for finding that out, not each

# 1: a task is needed to wake a worker. In one step, so that a worker that goes on or off meanwhile is seen.
_RING = f"""
if redis.call('exists', '{LISTENING}') == 1 then
  if redis.call('llen', '{WAKE}') == 0 then redis.call('rpush', '{WAKE}', 1) end
  redis.call('expire', '{WAKE}', {RING_SECONDS})
  return 0
end
return redis.call('set', '{PENDING_RING}', 1, 'nx', 'ex', {RING_SECONDS}) and 1 or 0
"""
# One command for all answers: the client makes and reads every command in Python.
_ANNOUNCE = f"""
for place, key in ipairs(KEYS) do
  redis.call('rpush', key, ARGV[place])
  redis.call('expire', key, {ANSWER_SECONDS})
end
"""


def ring() -> bool:
    """Wake a worker unless a ring is on its way. False when the broker does not answer."""
    if is_quiet():
        return False
    try:
        if broker.ask("EVAL", _RING, 0):
            app.send_task("predict", queue="predict", retry=False)
    except (RedisError, KombuError, OSError) as error:
        be_quiet()
        log.warning("ring lost, the reconciler will find the row", error=str(error))
        return False
    return True


def clear() -> None:
    """Let the next upload ring again. Called before the first claim, or a ring between the two is lost."""
    with contextlib.suppress(RedisError, OSError):
        broker.ask("DEL", PENDING_RING)


@contextlib.contextmanager
def listening(seconds: float) -> Iterator[None]:
    """Inside, rings come to `wait_for_ring`. Look for rows once inside and once after: each ring is then seen.

    The first look finds what rang before we listened, the second what rang when we stopped to.
    """
    with contextlib.suppress(RedisError, OSError):
        broker.ask("DEL", WAKE)
        broker.ask("SET", LISTENING, 1, "PX", int((seconds + SLICE_SECONDS) * 1000))
    try:
        yield
    finally:
        with contextlib.suppress(RedisError, OSError):
            broker.ask("DEL", LISTENING)


def wait_for_ring(seconds: float) -> bool:
    """Wait for the next ring, at most SLICE_SECONDS. False: none came."""
    try:
        return seconds > 0 and bool(broker.ask("BLPOP", WAKE, min(seconds, SLICE_SECONDS)))
    except (RedisError, OSError):
        return False


def announce(answers: Mapping[UUID, str]) -> None:
    """Tell whoever waits that these rows have ended, and what they say now; empty: look it up."""
    with contextlib.suppress(RedisError, OSError):
        broker.ask("EVAL", _ANNOUNCE, len(answers), *map(_answer_key, answers), *answers.values())


def wait_for(prediction: UUID, *, seconds: float) -> str:
    """Wait for an announcement and give its answer. Empty: look it up, also when time is up or the broker is gone."""
    key, deadline = _answer_key(prediction), time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0 and not is_quiet():
            # Put back as it is taken: a request with the same idempotency key may wait beside this one.
            answer = broker.ask("BLMOVE", key, key, "LEFT", "RIGHT", min(left, SLICE_SECONDS))
            if answer is not None:
                return bytes(answer).decode()
    except (RedisError, OSError):
        be_quiet()
    return ""


def is_quiet() -> bool:
    """Whether the broker did not answer a moment ago: nobody asks it meanwhile."""
    return time.monotonic() < _quiet.until


def be_quiet() -> None:
    """The broker did not answer: spare others the wait for it."""
    _quiet.until = time.monotonic() + QUIET_SECONDS


@dataclass
class _Quiet:
    until: float = 0.0  # time.monotonic()


_quiet = _Quiet()


def _answer_key(prediction: UUID) -> str:
    return f"recognizer:answer:{prediction}"
