"""The photos that a check-up looks at: what a model would learn from now, with labels, looks and near-duplicates."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from classifier_core.datasets.duplicates import DuplicatePair, connect, find_alike, find_duplicates, is_comparable
from classifier_core.datasets.looks import Floats, Look
from classifier_core.datasets.quality import judging_groups
from recognizer.registry.models import RegisteredModel
from recognizer.training.candidates import Candidate, Source, opinions_of
from recognizer.training.looking import load_looks

MAX_PHOTOS = 20_000  # comparing each with each takes 20 s for so many, and four times that for twice as many


@dataclass(frozen=True)
class Patient:
    """One distinct file, with all that is said about it."""

    sha256: str
    opinions: tuple[Candidate, ...]

    @property
    def label(self) -> str:
        """The first one's: base photos come first."""
        return self.opinions[0].label

    @property
    def labels(self) -> list[str]:
        """The different ones."""
        return list(dict.fromkeys(one.label for one in self.opinions))

    @property
    def is_upload(self) -> bool:
        return any(one.source == Source.REVIEW for one in self.opinions)


@dataclass
class Patients:
    """All of them. Those with one opinion and features teach and are checked."""

    photos: list[Patient]
    num_passed_over: int = 0
    looks: dict[str, tuple[Look, Floats | None]] = field(default_factory=dict)
    pairs: list[DuplicatePair] = field(default_factory=list)  # by the position among `seen`
    groups: dict[str, int] = field(default_factory=dict)  # photos of one group show one thing
    copies: dict[str, int] = field(default_factory=dict)  # those of one number are copies of each other

    @property
    def seen(self) -> list[Patient]:
        """Those with a look."""
        return [one for one in self.photos if one.sha256 in self.looks]

    @property
    def counts(self) -> Counter[str]:
        """Photos by label key."""
        return Counter(one.label for one in self.photos)

    @property
    def labels(self) -> list[str]:
        """Keys, by class index."""
        return sorted({one.label for one in self._taught()})

    def load_looks(self) -> None:
        self.looks = load_looks([one.sha256 for one in self.photos])

    def group(self) -> None:
        """Find copies, and what shows one thing."""
        looks = [self.looks[one.sha256] for one in self.seen]
        self.pairs = find_duplicates([look for look, _ in looks])
        pairs = [(pair.first, pair.second) for pair in self.pairs]
        self.copies = self._numbered(pairs)
        compared = [number for number, (look, features) in enumerate(looks) if features is not None]
        compared = [number for number in compared if is_comparable(looks[number][0])]
        if compared:
            features = np.stack([found for number in compared if (found := looks[number][1]) is not None])
            pairs += [(compared[first], compared[second]) for first, second in find_alike(features)]
        self.groups = self._numbered(pairs)

    def _numbered(self, pairs: list[tuple[int, int]]) -> dict[str, int]:
        seen = self.seen
        return {one.sha256: number for one, number in zip(seen, connect(pairs, len(seen)), strict=True)}

    def with_features(self) -> tuple[Floats, npt.NDArray[np.int64], list[int]]:
        """Features, class indices and groups of those that teach."""
        taught, index = self._taught(), {label: number for number, label in enumerate(self.labels)}
        features = [found for one in taught if (found := self.looks[one.sha256][1]) is not None]
        targets = np.array([index[one.label] for one in taught], np.int64)
        stacked = np.stack(features) if features else np.zeros((0, 1), np.float32)
        return stacked, targets, [self.groups[one.sha256] for one in taught]

    def judging_groups(self) -> list[int]:
        """The groups of those that teach, for checking their labels."""
        _, targets, groups = self.with_features()
        copies = [self.copies[one.sha256] for one in self._taught()]
        return [int(number) for number in judging_groups(groups, copies, targets)]

    def by_sha256(self, scores: npt.NDArray[np.float64]) -> dict[str, dict[str, float]]:
        """Class scores [N, K] of those that teach, by photo and label."""
        labels = self.labels
        return {
            one.sha256: dict(zip(labels, row, strict=True))
            for one, row in zip(self._taught(), scores.tolist(), strict=True)
        }

    def _taught(self) -> list[Patient]:
        return [one for one in self.seen if len(one.labels) == 1 and self.looks[one.sha256][1] is not None]


def find_patients(model: RegisteredModel) -> Patients:
    """All photos that may be in a snapshot now, or MAX_PHOTOS of them by lot."""
    said: dict[str, list[Candidate]] = defaultdict(list)
    for opinion, reason in opinions_of(model):
        if not reason and opinion.label:
            said[opinion.sha256].append(opinion)
    drawn = sorted(said, key=lambda sha256: hashlib.sha256(sha256.encode()).digest())[:MAX_PHOTOS]
    photos = [Patient(sha256, tuple(said[sha256])) for sha256 in sorted(drawn)]
    return Patients(photos, num_passed_over=len(said) - len(drawn))
