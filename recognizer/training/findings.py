"""What is wrong with the photos of a check-up, as rows that ask a person."""

from collections.abc import Iterator, Mapping

import numpy as np

from classifier_core.datasets.duplicates import DuplicatePair
from classifier_core.datasets.looks import Look
from classifier_core.datasets.quality import blurred, suspected_labels, tiny, unreadable
from recognizer.registry.models import RegisteredModel
from recognizer.training.checkup_models import CheckUp, Decided, Finding
from recognizer.training.models import Part
from recognizer.training.patients import Patient, Patients
from recognizer.training.placing import Place

Kind = Finding.Kind
Scores = Mapping[str, Mapping[str, float]]  # by photo and label


class Findings:
    """The findings of one check-up. `scores` are those of `held_out_scores`, where labels could be checked."""

    def __init__(self, checkup: CheckUp, patients: Patients, places: Mapping[str, Place]) -> None:
        self._checkup, self._patients, self._places = checkup, patients, places
        self._seen = patients.seen
        self.scores: Scores = {}

    def all(self) -> Iterator[Finding]:
        """Each kind in its order. Near-duplicates that cross parts or labels are not listed as copies once more."""
        kinds: Mapping[Kind, Iterator[Finding]] = {
            Kind.LABEL: self._wrong_labels(),
            Kind.CONFLICT: self._conflicts(),
            Kind.LEAK: (self._leak(pair) for pair in self._patients.pairs if self._crosses_parts(pair)),
            Kind.COPY: (self._copy(pair) for pair in self._patients.pairs if self._is_mere_copy(pair)),
            Kind.BLURRED: self._looking_bad(Kind.BLURRED),
            Kind.TINY: self._looking_bad(Kind.TINY),
            Kind.UNREADABLE: self._looking_bad(Kind.UNREADABLE),
        }
        for kind, findings in kinds.items():
            for rank, finding in enumerate(findings, 1):
                finding.kind, finding.rank, finding.checkup = kind, rank, self._checkup
                yield finding

    def _wrong_labels(self) -> Iterator[Finding]:
        if not self.scores:
            return
        photos, labels = list(self.scores), self._patients.labels
        scores = np.array([list(row.values()) for row in self.scores.values()])
        label_of = {one.sha256: one.label for one in self._seen}
        targets = np.array([labels.index(label_of[sha256]) for sha256 in photos], np.int64)
        of_sha256 = {one.sha256: one for one in self._seen}
        for suspect in suspected_labels(scores, targets):
            yield Finding(
                **_about(of_sha256[photos[suspect.index]]),
                likely=labels[suspect.likely],
                label_score=suspect.given_score,
                likely_score=suspect.likely_score,
            )

    def _conflicts(self) -> Iterator[Finding]:
        for one in self._seen:
            if len(one.labels) > 1:
                yield Finding(**_about(one), other_label=one.labels[1], likely=one.label)
        for pair in self._patients.pairs:
            first, second = self._seen[pair.first], self._seen[pair.second]
            if first.label != second.label:
                yield Finding(**self._pair(first, second), likely=self._likelier(first, second))

    def _likelier(self, first: Patient, second: Patient) -> str:
        """Of the labels of two copies the one that the photos beside them speak for."""

        def score(label: str) -> float:
            return sum(self.scores.get(one.sha256, {}).get(label, 0) for one in (first, second))

        return max(first.label, second.label, key=score)

    def _leak(self, pair: DuplicatePair) -> Finding:
        """The one that leaves is not in the test part, if one is."""
        pairs = sorted((self._seen[pair.first], self._seen[pair.second]), key=self._part_order)
        return Finding(**self._pair(*pairs))

    def _part_order(self, one: Patient) -> int:
        return list(Part.values).index(self._part(one))

    def _copy(self, pair: DuplicatePair) -> Finding:
        """The later one leaves: an upload before a base photo."""
        first, second = self._seen[pair.first], self._seen[pair.second]
        return Finding(**(self._pair(first, second) if first.is_upload else self._pair(second, first)))

    def _is_mere_copy(self, pair: DuplicatePair) -> bool:
        same = self._seen[pair.first].label == self._seen[pair.second].label
        return same and not self._crosses_parts(pair)

    def _crosses_parts(self, pair: DuplicatePair) -> bool:
        parts = self._part(self._seen[pair.first]), self._part(self._seen[pair.second])
        return all(parts) and parts[0] != parts[1]

    def _part(self, one: Patient) -> str:
        place = self._places.get(one.sha256)
        return place.part if place else ""

    def _pair(self, one: Patient, other: Patient) -> dict[str, object]:
        return {
            **_about(one),
            "other_id": other.sha256,
            "other_label": other.label,
            "part": self._part(one),
            "other_part": self._part(other),
            "is_upload": one.is_upload or other.is_upload,
        }

    def _looking_bad(self, kind: Kind) -> Iterator[Finding]:
        looks = [self._patients.looks[one.sha256][0] for one in self._seen]
        find = {Kind.BLURRED: blurred, Kind.TINY: tiny, Kind.UNREADABLE: unreadable}[kind]
        for number in find(looks):
            value = _value(kind, looks[number])
            yield Finding(**_about(self._seen[number]), value=value, problem=looks[number].problem)


def _value(kind: Kind, look: Look) -> float | None:
    return {Kind.BLURRED: round(look.sharpness, 1), Kind.TINY: float(look.shorter_side)}.get(kind)


def _about(one: Patient) -> dict[str, object]:
    return {"blob_id": one.sha256, "label": one.label, "is_upload": one.is_upload}


def known_decisions(model: RegisteredModel) -> set[Decided]:
    """What people found right, and need not be asked again as long as the labels stay."""
    rows = Finding.objects.filter(checkup__model=model, resolution=Finding.Resolution.DISMISSED)
    columns = ("kind", "blob_id", "other_id", "label", "other_label", "likely")
    return {Decided.of(*row) for row in rows.values_list(*columns)}
