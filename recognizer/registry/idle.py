"""Which loaded models nobody asks for. They leave the memory of this process, and the next request brings them back."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from classifier_core.engines import EngineSpec
from recognizer.registry.models import ModelVersion


@dataclass(frozen=True)
class Resting:
    """What is known of a version that left memory."""

    row: ModelVersion
    spec: EngineSpec
    loaded_at: datetime
    unloaded_at: datetime


resting: dict[int, Resting] = {}  # by registered model
_asked_at: dict[int, float] = {}  # time.monotonic(), by registered model


def note(model_id: int) -> None:
    """Somebody asks for the model now."""
    _asked_at[model_id] = time.monotonic()


def overdue(model_ids: Iterable[int], *, after_seconds: float) -> list[int]:
    """Those that nobody asked for since so long; none where it is 0. The clock of one that is new here starts now."""
    at = time.monotonic()
    idle = {model_id: at - _asked_at.setdefault(model_id, at) for model_id in model_ids}
    return [model_id for model_id, seconds in idle.items() if 0 < after_seconds <= seconds]
