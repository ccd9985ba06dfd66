"""Whether an artifact learned from the very photos that are to judge it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from classifier_core.artifact import MANIFEST, Artifact
from classifier_core.datasets.folder import Dataset, Photo, hash_or_nothing
from classifier_core.evaluation import Photos, never_learned
from classifier_core.training.run_folder import learned_names, listed_names
from recognizer.registry.models import LearnedPhoto

TOO_GOOD = "the figures are too good. Judge by other photos, or with --split by those that it did not learn from."


def doubts(artifacts: Sequence[Artifact], photos: Photos, root: Path) -> list[str]:
    """A sentence for each of them that learned from some of these photos below `root`, or may have."""
    shown = tuple(Photo(path, label) for path, label in photos)
    judges = Dataset(root, shown, tuple({photo.label for photo in shown}))
    return [sentence for artifact in artifacts if (sentence := _doubt(artifact, judges))]


def _doubt(artifact: Artifact, judges: Dataset) -> str:
    if never_learned(artifact, judges):
        return ""
    who = f"{artifact.architecture} {artifact.sha256[:8]}"
    known = _by_hash(artifact, judges) or _by_name(artifact, judges)
    if known is None:
        return f"{who} does not say which photos it learned from: whether these are among them cannot be known."
    return f"{who} learned from {known.told(len(judges.photos))}" if known.count else ""


@dataclass(frozen=True)
class _Known:
    count: int  # of the judging photos that were learned from
    is_sure: bool  # by their bytes; else only by their names

    def told(self, total: int) -> str:
        """The rest of a sentence that begins with who learned."""
        if self.is_sure:
            return f"{self.count} of these {total} photos: {TOO_GOOD}"
        return f"photos with the names of {self.count} of these {total}. If they are the same, {TOO_GOOD}"


def _by_hash(artifact: Artifact, judges: Dataset) -> _Known | None:
    """By the rows of the version that a run of this service made; None where there are none."""
    try:
        rows = LearnedPhoto.objects.filter(version__artifact_sha256=artifact.sha256)
        learned = set(rows.values_list("blob_sha256", flat=True))
    except DatabaseError:
        return None  # a folder is judged without a database, too
    hashes = [hash_or_nothing(photo.path) for photo in judges.photos] if learned else []
    return _Known(sum(one in learned for one in hashes), is_sure=True) if learned else None


def _by_name(artifact: Artifact, judges: Dataset) -> _Known | None:
    """By the lists of the run, or of the starter, that the artifact is of; None where there are none."""
    names = learned_names(artifact.folder) or _of_starters(artifact)
    if not names:
        return None
    same = [photo for photo in judges.photos if judges.name_of(photo) in names]
    is_all = len(same) == len(names) and judges.only(same).fingerprint == _train_hash(artifact.provenance)
    return _Known(len(same), is_sure=is_all)


def _of_starters(artifact: Artifact) -> set[str]:
    """The training photos of the starter that this is, or that was trained on the same ones."""
    learned = _train_hash(artifact.provenance)
    for lists in sorted((settings.BASE_DIR / "starters").glob("*/lists")):
        if learned and learned in map(_train_hash, _provenances(lists.parent)):
            return listed_names(lists)
    return set()


def _provenances(starter: Path) -> Iterator[dict[str, Any]]:
    for path in starter.rglob(MANIFEST):
        yield json.loads(path.read_text(encoding="utf-8"))["provenance"]


def _train_hash(provenance: dict[str, Any]) -> str:
    data = provenance.get("data")
    parts = data.get("parts", {}) if isinstance(data, dict) else {}
    return str(parts.get("train", {}).get("sha256", ""))
