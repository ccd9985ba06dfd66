"""Load a model that left memory before rows of it are claimed: a load may take longer than their lease."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.db import connection

from recognizer.registry import idle, serving

log = structlog.get_logger(__name__)

_loader = ThreadPoolExecutor(1, thread_name_prefix="waking")
_loads: dict[int, Future[None]] = {}  # by registered model


def wake(model_ids: Iterable[int]) -> list[Future[None]]:
    """The loads of those of them that rest, begun where they do not run. One that has ended leaves its model awake."""
    return [_load_of(model_id) for model_id in model_ids if model_id in idle.resting]


def _load_of(model_id: int) -> Future[None]:
    if model_id not in _loads or _loads[model_id].done():
        _loads[model_id] = _loader.submit(_load, model_id)
    return _loads[model_id]


def _load(model_id: int) -> None:
    # The outermost frame of the thread. After an error whoever claims the rows tries again, and stores what it finds.
    try:
        serving.serving_version(model_id)
    except Exception:
        log.exception("a resting model does not come back", model=model_id)
        idle.resting.pop(model_id, None)
    finally:
        connection.close()
