"""The rules of the gate: what the figures of a judgement must be. Each says its outcome in words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from classifier_core.comparison import chance_of_loss
from classifier_core.engines.parity import MAX_DIFFERENCE
from recognizer.registry.sentences import marked

LEAST_LOST = 2  # photos of a class, net: one alone is a tenth of ten photos, and says nothing
ECE_STEP = 0.05  # calibration error that a page should warn of
ALARM_STEP = 0.05  # likewise, of "none of my classes" said about photos of the classes
SCORE_STEP = 1e-3  # between two processes with the same engine and threads
LUCK = 0.05  # a class of few photos is refused where luck alone would lose as many less often than this
_TINY = 1e-9  # 0.95 - 0.90 is more than 0.05 to a computer
Outcome = Literal["passed", "refused", "warning"]
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """What the settings allow. Shares from 0 to 1."""

    margin: float = 0.0  # of accuracy, overall
    class_margin: float = 0.05  # of a class's recall
    class_photos: int = 10  # test photos from which on a class is judged by its recall alone
    latency: float = 1.5  # times what serves


@dataclass(frozen=True)
class Rule:
    """What one rule says. `labels` are the classes that it names; in `words` their keys are marked."""

    rule: str
    outcome: Outcome
    words: str
    labels: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def apply_rules(figures: Figures, limits: Limits) -> list[Rule]:
    """What every rule says of these figures, in the order of a page."""
    return [
        _accuracy(figures, limits),
        _classes(figures, limits),
        _few_photos(figures, limits),
        _forgotten(figures),
        _latency(figures, limits),
        _parity(figures),
        _separate_process(figures),
        _calibration(figures),
        _known(figures),
        _unseen(figures),
    ]


def has_passed(rules: Sequence[Rule]) -> bool:
    """Whether no rule refuses."""
    return all(rule.outcome != "refused" for rule in rules)


def _accuracy(figures: Figures, limits: Limits) -> Rule:
    found = figures["accuracy"]
    is_worse = -found["difference"] > limits.margin + _TINY
    words = (
        f"Accuracy {_share(found['candidate'])} against {_share(found['serving'])} "
        f"on {_photos(figures['num_photos'])}: {_points(found['difference'])} "
        f"(95 % interval {_interval(found)}; only the candidate is right on "
        f"{found['gained']}, only what serves on {found['lost']}; McNemar p = {found['p_value']:.2g})."
    )
    allowed = f" At most {limits.margin * 100:g} points less are allowed." if is_worse and limits.margin else ""
    return Rule("accuracy", "refused" if is_worse else "passed", words + allowed)


def _classes(figures: Figures, limits: Limits) -> Rule:
    losing = [row for row in figures["classes"] if _is_worse(row, limits)]
    if not losing:
        words = f"No class {_enough(limits)} loses more than {_margin(limits)} of recall, and no other one surely."
        return Rule("classes", "passed", words)
    words = " ".join(
        f"{marked(row['label'])} falls from {_share(row['serving'])} to {_share(row['candidate'])} recall on "
        f"{_photos(row['num_photos'])}: {_points(row['difference'])} "
        f"(95 % interval {_interval(row)}{_luck(row, limits)})."
        for row in losing
    )
    return Rule(
        "classes", "refused", f"{words} At most {_margin(limits)} are allowed.", [row["label"] for row in losing]
    )


def _few_photos(figures: Figures, limits: Limits) -> Rule:
    """Classes that may have lost, on too few photos to say so."""
    doubtful = [
        row for row in figures["classes"] if row["label"] not in _refused(figures, limits) and _loses(row, limits)
    ]
    if doubtful:
        losses = ", ".join(f"{marked(row['label'])} {_net_loss(row)} of {row['num_photos']}" for row in doubtful)
        words = (
            f"Too few test photos to say whether these classes are worse: {losses} lost. Review more photos of them."
        )
        return Rule("few photos", "warning", words, [row["label"] for row in doubtful])
    small = [row["label"] for row in figures["classes"] if row["num_photos"] < limits.class_photos]
    if not small:
        return Rule("few photos", "passed", f"Every class has {limits.class_photos} test photos or more.")
    names = _listed(small)
    return Rule(
        "few photos",
        "passed",
        f"With fewer than {limits.class_photos} photos, so that only a loss beyond luck refuses: {names}.",
        small,
    )


def _forgotten(figures: Figures) -> Rule:
    labels = list(figures["forgotten"])
    if not labels:
        return Rule("known classes", "passed", "It knows every class that what serves knows.")
    words = f"It cannot answer {_listed(labels)}, which what serves can. Train with photos of it, or retire the label."
    return Rule("known classes", "refused", words, labels)


def _latency(figures: Figures, limits: Limits) -> Rule:
    ours, theirs = (figures["latency_ms"][name]["p50"] for name in ("candidate", "serving"))
    is_slow = ours > theirs * limits.latency
    words = f"A photo takes {ours:.1f} ms against {theirs:.1f} ms, measured in turn in one process (median)."
    allowed = f" At most {limits.latency:g} times as much is allowed."
    return Rule("latency", "refused" if is_slow else "passed", words + allowed if is_slow else words)


def _parity(figures: Figures) -> Rule:
    exported = {what: one for what, one in figures["parity"].items() if what.startswith("batch of ")}
    if not exported:
        return Rule("export", "refused", "There are no figures that its exported graph answers like the original.")
    worst = max(_worst(one) for one in exported.values())
    if worst <= MAX_DIFFERENCE:
        return Rule("export", "passed", f"Its exported graph answers like the original, to {worst:.1g}.")
    words = f"Its exported graph differs from the original by {worst:.2g}; at most {MAX_DIFFERENCE:g} is allowed."
    return Rule("export", "refused", words)


def _worst(parity: Figures) -> float:
    return max(float(parity[name]) for name in ("score_difference", "logit_difference", "feature_difference"))


def _separate_process(figures: Figures) -> Rule:
    found = figures["separate_process"]
    if found["error"]:
        return Rule("separate process", "refused", str(found["error"]))
    if found["score_difference"] > SCORE_STEP:
        words = f"A fresh process gives scores that are {found['score_difference']:.2g} apart from those measured here."
        return Rule("separate process", "refused", words)
    return Rule("separate process", "passed", "A fresh process loads it from its files and gives the same scores.")


def _calibration(figures: Figures) -> Rule:
    ours, theirs = figures["ece"]["candidate"], figures["ece"]["serving"]
    words = f"Its scores are off by {_share(ours)} on average, against {_share(theirs)} (expected calibration error)."
    return Rule("calibration", "warning" if ours > theirs + ECE_STEP else "passed", words)


def _known(figures: Figures) -> Rule:
    ours, theirs = figures["false_alarms"]["candidate"], figures["false_alarms"]["serving"]
    if ours is None:
        return Rule("none of my classes", "warning" if theirs is not None else "passed", "It never says so.")
    words = f"It says so of {_share(ours)} of the photos of its classes"
    words += "." if theirs is None else f", against {_share(theirs)}."
    return Rule("none of my classes", "warning" if ours > (theirs or 0) + ALARM_STEP else "passed", words)


def _unseen(figures: Figures) -> Rule:
    """Photos that the candidate learned from judge it too well; for what serves that is its advantage, so only told."""
    ours, theirs = (figures["learned"][name] for name in ("candidate", "serving"))
    words = f"{_learned(ours, 'The candidate')} {_learned(theirs, 'What serves')}"
    if _has_learned(ours):
        return Rule("unseen photos", "refused", f"{words} Train a candidate from another start, without these photos.")
    is_sure = not _has_learned(theirs) and all(one["num_learned"] is not None for one in (*ours, *theirs))
    return Rule("unseen photos", "passed" if is_sure else "warning", words)


def _learned(line: Sequence[Figures], who: str) -> str:
    """What is known of a version and those it started from, in a sentence."""
    first, *starts = line
    learned = [one for one in line if one["num_learned"]]
    unknown = [one["version"] for one in line if one["num_learned"] is None]
    start = f", which started from {', '.join(one['version'] for one in starts)}" if starts else ""
    who = f"{who} ({first['version']}{start})"
    if learned:
        parts = ", ".join(f"{one['version']} from {one['num_learned']}" for one in learned)
        return f"{who} learned from photos that judge it: {parts}."
    if unknown:
        return f"{who}: not known whether it learned from these photos, for {', '.join(unknown)} was imported."
    return f"{who} learned from none of these photos."


def _has_learned(line: Sequence[Figures]) -> bool:
    return any(one["num_learned"] for one in line)


def _is_worse(row: Figures, limits: Limits) -> bool:
    if not _loses(row, limits) or _net_loss(row) < LEAST_LOST:
        return False
    return bool(row["num_photos"] >= limits.class_photos or _is_surely_worse(row, limits))


def _is_surely_worse(row: Figures, limits: Limits) -> bool:
    is_beyond_luck = chance_of_loss(row["gained"], row["lost"]) < LUCK
    return is_beyond_luck and bool(row["interval"][1] < -limits.class_margin)


def _luck(row: Figures, limits: Limits) -> str:
    """What refuses a class of few photos."""
    if row["num_photos"] >= limits.class_photos:
        return ""
    return f"; by luck with p = {chance_of_loss(row['gained'], row['lost']):.2g}"


def _refused(figures: Figures, limits: Limits) -> set[str]:
    return {*_classes(figures, limits).labels, *figures["forgotten"]}


def _loses(row: Figures, limits: Limits) -> bool:
    return bool(-row["difference"] > limits.class_margin + _TINY)


def _net_loss(row: Figures) -> int:
    return int(row["lost"] - row["gained"])


def _share(value: float) -> str:
    return f"{value * 100:.1f} %"


def _points(difference: float) -> str:
    return "no difference" if abs(difference) < _TINY else f"{difference * 100:+.1f} points"


def _interval(found: Figures) -> str:
    low, high = found["interval"]
    return f"{low * 100:+.1f} to {high * 100:+.1f}"


def _photos(number: int) -> str:
    return f"{number} test photo{'' if number == 1 else 's'}"


def _enough(limits: Limits) -> str:
    return f"of {limits.class_photos} or more test photos"


def _margin(limits: Limits) -> str:
    return f"{limits.class_margin * 100:g} points"


def _listed(labels: Sequence[str], most: int = 10) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(map(marked, labels[:most])) + more
