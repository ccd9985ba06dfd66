"""A thread of each worker that times what the worker serves, once, when nobody needs the machine.

Each worker times its own machine: a command or the trainer may run on another one. The timing itself is a process of
the lowest priority, which ends as soon as a prediction waits.
"""

import random
import threading
import time
from collections.abc import Callable

import structlog
from django.db import connection

from classifier_core.engines.timing import MAX_OTHERS
from classifier_core.errors import ClassifierError, MachineBusy
from classifier_core.hardware import processor_time
from recognizer.registry import serving, timings

log = structlog.get_logger(__name__)

FIRST_SECONDS = 15.0  # after the models are loaded: a new service has more to do first
LOOK_SECONDS = 30.0  # between two looks for a version that was not timed
QUIET_SECONDS = 3.0  # the machine must have been left alone so long


def start(*, is_wanted: Callable[[], bool]) -> None:
    """Begin. `is_wanted` says whether a prediction waits or runs."""
    threading.Thread(target=_follow, args=(is_wanted,), name="timekeeping", daemon=True).start()


def _follow(is_wanted: Callable[[], bool]) -> None:
    time.sleep(FIRST_SECONDS)
    while True:
        _time_or_log(is_wanted)
        connection.close()
        # Two workers of one machine that disturbed each other must not begin together again.
        time.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def _time_or_log(is_wanted: Callable[[], bool]) -> None:
    # The outermost frame of the thread: whatever goes wrong this time, the next time may go right.
    try:
        time_what_serves(is_wanted)
    except MachineBusy as busy:
        log.info("engines are timed later", reason=str(busy))
    except (ClassifierError, OSError) as error:
        log.warning("engines cannot be timed", reason=str(error))
    except Exception:
        log.exception("engines cannot be timed")


def time_what_serves(is_wanted: Callable[[], bool]) -> None:
    """Time each loaded version that was not timed on such hardware. Raises as `timings.measure` does."""
    for loaded in serving.loaded_versions():
        if timings.is_timed(loaded.row):
            timings.mark_chosen(loaded.classifier.artifact)
        else:
            _require_quiet(is_wanted)
            timings.measure(loaded.row, is_wanted=is_wanted)


def _require_quiet(is_wanted: Callable[[], bool]) -> None:
    before = processor_time()
    time.sleep(QUIET_SECONDS)
    share = processor_time().busy_share_since(before)
    if share > MAX_OTHERS or is_wanted():
        raise MachineBusy(f"The processor was busy for {share:.0%} of the time.")
