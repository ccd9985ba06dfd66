"""Which photos a snapshot is asked for."""

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils.timezone import get_current_timezone, make_aware

from classifier_core.errors import DatasetInvalid


@dataclass(frozen=True)
class SnapshotOptions:
    """What may train, as a person chooses it. Photos of the test part are in every snapshot, whatever is chosen."""

    base_photos: bool = True
    reviews: bool = True
    since: date | None = None  # of the upload, this day included
    until: date | None = None
    max_per_class: int | None = None
    max_per_uploader: int | None = None  # of each class
    val_share: float = 0.15
    test_share: float = 0.15
    seed: int = 0  # of the split and of what the caps keep
    features: bool = True  # a network looks for photos of one thing, not only a hash

    def check(self) -> None:
        """Raises DatasetInvalid when nothing can come of it."""
        if not (self.base_photos or self.reviews):
            raise DatasetInvalid("Choose base photos, reviewed recognitions, or both.")
        if self.since and self.until and self.since > self.until:
            raise DatasetInvalid(f"Nothing is after {self.since} and before {self.until}. Exchange the two days.")
        if any(cap is not None and cap < 1 for cap in (self.max_per_class, self.max_per_uploader)):
            raise DatasetInvalid("A cap is at least 1. Leave it out for none.")
        if not (0 <= self.val_share < 1 and 0 <= self.test_share < 1 and self.val_share + self.test_share < 1):
            raise DatasetInvalid("The shares of validation and test leave nothing to train with.")

    def to_dict(self) -> dict[str, Any]:
        """For the snapshot's row."""
        days = {name: day.isoformat() for name in ("since", "until") if (day := getattr(self, name))}
        return {**asdict(self), "since": None, "until": None, **days}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "SnapshotOptions":
        """What `to_dict` gave."""
        days = {name: date.fromisoformat(stored[name]) if stored.get(name) else None for name in ("since", "until")}
        return cls(**{**stored, **days})

    def moments(self) -> tuple[datetime | None, datetime | None]:
        """From when, and until before when, photos were uploaded."""
        since = _midnight(self.since) if self.since else None
        return since, _midnight(self.until + timedelta(days=1)) if self.until else None


def _midnight(day: date) -> datetime:
    return make_aware(datetime.combine(day, time.min), get_current_timezone())
