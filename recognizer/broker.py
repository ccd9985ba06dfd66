"""Our own connection to the broker, for doorbell flags and answer wake-ups. Nothing here is the truth."""

from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_SECONDS = 1.0  # a hung broker delays an upload by this much, once


@cache
def connection() -> redis.Redis:
    """One thread-safe client a process."""
    return redis.Redis.from_url(
        settings.RECOGNIZER_BROKER_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
