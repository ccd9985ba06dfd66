"""Two versions of a model on the same photos, as figures that a page can show and rules can read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_core.comparison import Comparison, compare_answers
from classifier_core.errors import ClassifierError
from classifier_core.metrics import bins_by_confidence, calibration_error

MAX_CONFUSED = 12  # classes in the table of changed confusion: more fit on no screen
Figures = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """One version's answers for N photos: the best label's key, how sure, and whether it knows the photo at all.

    `classes` are the labels that it can answer; empty answers are labels that are retired.
    """

    answers: tuple[str, ...]
    scores: tuple[float, ...]
    known: tuple[bool | None, ...]
    classes: frozenset[str]

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Said":
        """What it said about these photos, [N]."""
        columns = (self.answers, self.scores, self.known)
        answers, scores, known = (tuple(np.array(column, object)[chosen]) for column in columns)
        return Said(answers, scores, known, self.classes)


def side_by_side(labels: Sequence[str], groups: Sequence[int], *, candidate: Said, serving: Said) -> Figures:
    """The figures for photos of these labels, of which those of one group show one thing.

    A class that only one of the two can answer counts against the other, as it would for users. A photo whose label
    neither can answer is a stranger to both, which should be said to be none of the classes.

    Raises ClassifierError when all photos are strangers.
    """
    known_to_one = candidate.classes | serving.classes
    is_ours = np.array([label in known_to_one for label in labels], bool)
    if not is_ours.any():
        raise ClassifierError("The test part has no photo of a class that either version knows. Freeze one that has.")
    truth = np.array(labels, object)[is_ours]
    ours = {"candidate": candidate.only(is_ours), "serving": serving.only(is_ours)}
    strangers = {"candidate": candidate.only(~is_ours), "serving": serving.only(~is_ours)}
    found = _compared(truth, np.asarray(groups)[is_ours], **ours)
    return {
        "num_photos": int(is_ours.sum()),
        "num_groups": len(set(np.asarray(groups)[is_ours].tolist())),
        "num_strangers": int((~is_ours).sum()),
        "accuracy": _accuracy(found),
        "macro_recall": _macro_recall(found),
        "ece": {name: _calibration_error(truth, said) for name, said in ours.items()},
        "false_alarms": {name: _unknown_share(said) for name, said in ours.items()},
        "strangers_caught": {name: _unknown_share(said) for name, said in strangers.items()},
        "classes": _classes(found, candidate=candidate, serving=serving),
        "forgotten": sorted(serving.classes - candidate.classes - {""}),
        "confusion": confusion_change(truth, before=ours["serving"].answers, after=ours["candidate"].answers),
    }


def _compared(truth: npt.NDArray[Any], groups: npt.NDArray[Any], *, candidate: Said, serving: Said) -> Comparison:
    """A is what serves, B the candidate."""
    names = sorted(set(truth))
    index = {name: number for number, name in enumerate(names)}
    targets, before, after = (
        np.array([index.get(name, -1) for name in column], np.int64)
        for column in (truth, serving.answers, candidate.answers)
    )
    return compare_answers(targets, before, after, labels=names, groups=groups.tolist())


def _accuracy(found: Comparison) -> Figures:
    return {
        "candidate": found.accuracy_b,
        "serving": found.accuracy_a,
        "difference": found.difference,
        "interval": list(found.interval),
        "gained": found.gained,
        "lost": found.lost,
        "p_value": found.p_value,
    }


def _macro_recall(found: Comparison) -> Figures:
    before, after = (float(np.mean([getattr(one, name) for one in found.classes])) for name in ("recall_a", "recall_b"))
    return {"candidate": after, "serving": before, "difference": after - before}


def _calibration_error(truth: npt.NDArray[Any], said: Said) -> float:
    is_right = np.array(said.answers, object) == truth
    return calibration_error(bins_by_confidence(np.array(said.scores, float), is_right))


def _unknown_share(said: Said) -> float | None:
    """How often "none of my classes" was said; None where a version cannot say it, or nothing was asked."""
    told = [known for known in said.known if known is not None]
    return told.count(False) / len(told) if told else None


def _classes(found: Comparison, *, candidate: Said, serving: Said) -> list[Figures]:
    """Class by class, the greatest loss first."""
    rows = [
        {
            "label": one.label,
            "num_photos": one.support,
            "candidate": one.recall_b,
            "serving": one.recall_a,
            "difference": one.recall_b - one.recall_a,
            "interval": list(one.interval),
            "gained": one.gained,
            "lost": one.lost,
            "is_new": one.label not in serving.classes,
            "is_forgotten": one.label not in candidate.classes,
        }
        for one in found.classes
    ]
    return sorted(rows, key=lambda row: (row["difference"], row["label"]))


def confusion_change(truth: Sequence[str], *, before: Sequence[str], after: Sequence[str]) -> Figures:
    """How many photos more or fewer of each class [row] get each answer [column], where most has changed."""
    changes: Counter[tuple[str, str]] = Counter(zip(truth, after, strict=True))
    changes.subtract(zip(truth, before, strict=True))
    weight: Counter[str] = Counter()
    for pair, count in changes.items():
        for label in set(pair) - {""}:
            weight[label] += abs(count)
    names = sorted(name for name, count in weight.most_common(MAX_CONFUSED) if count)
    return {
        "labels": names,
        "changes": [[changes[row, column] for column in names] for row in names],
        "num_classes": sum(count > 0 for count in weight.values()),
    }
