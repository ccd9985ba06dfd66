"""Wake-ups for the train worker. Losing one costs a minute, never a row: `tend` finds what waits."""

import structlog
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from recognizer.celery import app

log = structlog.get_logger(__name__)

QUEUE = "train"
RING_SECONDS = 60  # a worker may train for hours: rings of that time need not wait for it


def ring(task: str) -> bool:
    """Ask the train worker to do what waits. False when the broker does not answer."""
    try:
        app.send_task(task, queue=QUEUE, retry=False, expires=RING_SECONDS)
    except (RedisError, KombuError, OSError) as error:
        log.warning("ring lost, the row will be found", task=task, error=str(error))
        return False
    return True
