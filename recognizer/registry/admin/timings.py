"""How fast a version runs, and in what workers run it, on its page."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.conf import settings

from recognizer.registry.models import EngineTiming, Hardware, LoadedVersion, ModelVersion


@dataclass(frozen=True)
class Bar:
    """A configuration and its pictures a second beside those of the fastest, out of 100."""

    timing: EngineTiming
    width: str


@dataclass(frozen=True)
class Table:
    """What was timed on one kind of machine."""

    hardware: Hardware
    bars: list[Bar]

    @property
    def num_left_out(self) -> int:
        """How many of those with figures may not be chosen, whatever their speed."""
        return sum(not (bar.timing.is_as_good or bar.timing.error) for bar in self.bars)


def timings_drawn(version: ModelVersion) -> dict[str, Any]:
    """What the template of a version takes."""
    return {
        "tables": _tables(version),
        "loaded_by": LoadedVersion.objects.live().filter(version=version),
        "is_serving": version == version.model.desired_version(),
        "times_by_itself": settings.RECOGNIZER_TIME_ENGINES,
    }


def _tables(version: ModelVersion) -> list[Table]:
    """Those of the same artifact under another model, too: it is the same network."""
    timings = EngineTiming.objects.of_artifact(version.artifact_sha256).select_related("hardware")
    return [Table(hardware, _bars(list(rows))) for hardware, rows in groupby(timings, lambda row: row.hardware)]


def _bars(timings: list[EngineTiming]) -> list[Bar]:
    most = max((row.images_per_second or 0.0 for row in timings), default=0.0)
    return [Bar(row, f"{100 * (row.images_per_second or 0.0) / (most or 1.0):.1f}") for row in timings]
