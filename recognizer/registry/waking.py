"""Load a model that left memory before rows of it are claimed: a load may take longer than their lease."""

from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.db import connection

from recognizer.registry import idle, serving

_loader = ThreadPoolExecutor(1, thread_name_prefix="waking")
_loads: dict[int, Future[None]] = {}  # by registered model


def can_answer(model_id: int, *, seconds: float) -> bool:
    """Whether rows of this model may be claimed. One that rests is loaded; this waits so long for that.

    A load that failed counts, too: whoever claims the rows tries again, and stores what it finds.
    """
    if model_id not in idle.resting:
        _loads.pop(model_id, None)
        return True
    if model_id not in _loads:
        _loads[model_id] = _loader.submit(_load, model_id)
    if not wait([_loads[model_id]], timeout=seconds).done:
        return False
    del _loads[model_id]
    return True


def _load(model_id: int) -> None:
    try:
        serving.serving_version(model_id)
    finally:
        connection.close()
