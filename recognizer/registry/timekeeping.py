"""A thread of each worker that times what the worker serves, once, when nobody needs the machine.

Each worker times its own machine: a command or the trainer may run on another one. The timing itself is a process of
the lowest priority, which ends as soon as a prediction waits; what it timed until then is kept.
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
    failures = 0
    while True:
        failures = 0 if _time_or_log(is_wanted) else failures + 1
        connection.close()
        # Two workers of one machine that disturbed each other must not begin together again.
        time.sleep(pause_seconds(failures) * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def pause_seconds(failures: int) -> float:
    """Until the next look, after so many failures in a row: twice as long after each, an hour at most."""
    return LOOK_SECONDS * 2.0 ** min(failures, 7)


def _time_or_log(is_wanted: Callable[[], bool]) -> bool:
    """Whether nothing failed; a machine that others needed is no failure."""
    # The outermost frame of the thread: whatever goes wrong this time, the next time may go right.
    try:
        time_what_serves(is_wanted)
    except MachineBusy as busy:
        log.info("engines are timed later", reason=str(busy))
    except (ClassifierError, OSError) as error:
        log.warning("engines cannot be timed", reason=str(error))
        return False
    except Exception:
        log.exception("engines cannot be timed")
        return False
    return True


def time_what_serves(is_wanted: Callable[[], bool]) -> None:
    """Time of each loaded version what was not timed on such hardware. Raises as `timings.measure` does."""
    for loaded in serving.loaded_versions():
        if left := timings.untimed(loaded.row):
            _require_quiet(is_wanted)
            timings.measure(loaded.row, left, is_wanted=is_wanted)
        else:
            timings.mark_chosen(loaded.classifier.artifact)


def _require_quiet(is_wanted: Callable[[], bool]) -> None:
    before = processor_time()
    time.sleep(QUIET_SECONDS)
    share = processor_time().busy_share_since(before)
    if share > MAX_OTHERS or is_wanted():
        raise MachineBusy(f"The processor was busy for {share:.0%} of the time.")
