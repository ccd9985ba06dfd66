"""Where an answer comes from: the version, what it learned from, and who let it serve."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from recognizer.predictions.models import Prediction
from recognizer.registry.models import ModelVersion
from recognizer.registry.timeline import Reign, reign_at
from recognizer.training.models import DatasetSnapshot, Part, SnapshotItem

NUM_PHOTOS = 18


@dataclass(frozen=True)
class Lesson:
    """What a snapshot holds of one class."""

    snapshot: DatasetSnapshot
    num_of_part: dict[str, int]
    num_erased: int  # of the whole snapshot: a tombstone does not say of which class it was
    photos: list[SnapshotItem]
    own_part: str  # of the very picture that was recognised; empty: it is not in

    @property
    def num_photos(self) -> int:
        return sum(self.num_of_part.values())


@dataclass(frozen=True)
class Origin:
    """What led to an answer."""

    version: ModelVersion
    reign: Reign | None  # that of the promotion in force when it was given
    next_reign: Reign | None
    run: int | None  # id of the training run here that made the version; what an artifact says may be of elsewhere
    lesson: Lesson | None

    @property
    def is_as_promoted(self) -> bool:
        """Whether the version that answered is the one that should have served by then."""
        return self.reign is not None and self.reign.promotion.version_id == self.version.pk


def origin_of(prediction: Prediction) -> Origin | None:
    """None when there is no answer."""
    version = prediction.version
    if version is None:
        return None
    reign = reign_at(prediction.model, prediction.finished_at or prediction.created_at)
    later = reign_at(prediction.model, reign.until) if reign and reign.until else None
    snapshot = snapshot_of(version)
    return Origin(
        version,
        reign,
        later,
        run=version.training_runs.values_list("pk", flat=True).first(),
        lesson=_lesson(snapshot, prediction) if snapshot else None,
    )


def snapshot_of(version: ModelVersion) -> DatasetSnapshot | None:
    """The snapshot that the version learned from; None where the artifact names none that is here.

    By its content: an artifact may come from another server, whose row numbers mean nothing here.
    """
    content = str(provenance_of(version).get("snapshot_sha256") or "")
    ready = DatasetSnapshot.objects.ready().filter(model=version.model_id)
    return ready.filter(content_sha256=content).order_by("pk").first() if content else None


def provenance_of(version: ModelVersion) -> dict[str, Any]:
    """What the artifact says of how it was made."""
    told = version.manifest.get("provenance")
    return told if isinstance(told, dict) else {}


def _lesson(snapshot: DatasetSnapshot, prediction: Prediction) -> Lesson:
    alive = snapshot.items.alive().order_by()
    of_class = alive.filter(label=prediction.label)
    counts = Counter(dict(of_class.values_list("part").annotate(number=Count("*"))))
    own = alive.filter(blob=prediction.image.blob_id).first() if prediction.image else None
    learned = of_class.filter(part__in=(Part.TRAIN, Part.VAL))
    return Lesson(
        snapshot,
        num_of_part={part: counts[part] for part in Part.values},
        num_erased=snapshot.items.exclude(erased_at=None).count(),
        photos=list(learned.order_by("part", "pk")[:NUM_PHOTOS]),
        own_part=own.part if own else "",
    )
