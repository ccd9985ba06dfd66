"""What the page of a judgement shows: rules in words, figures, classes, confusion and the photos that flipped."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from recognizer.predictions.admin import cells
from recognizer.registry.gate import why_outdated
from recognizer.registry.models import Judgement
from recognizer.registry.promotion import may_force, previous_version
from recognizer.registry.sentences import with_names
from recognizer.registry.taxonomy import display_names
from recognizer.training.admin.pictures import thumbnail
from recognizer.training.admin.snapshots import may_see
from recognizer.training.models import SnapshotItem

MAX_CLASSES = 60  # shown: the greatest losses, and the greatest gains
MAX_GAINS = 20
TONES = {"passed": ("good", "holds"), "refused": ("bad", "refuses"), "warning": ("wait", "warning")}
LEFT_OUT = {"retired": "of retired classes", "erased": "erased since", "unreadable": "cannot be read"}


@dataclass(frozen=True)
class ClassRow:
    """One class: recall of both, and where the bar of the change and its interval lie, of 200 with zero at 100."""

    name: str
    num_photos: int
    before: str
    after: str
    change: str
    interval: str
    bar: tuple[str, str]  # start and width
    whisker: tuple[str, str]  # from and to
    tone: str
    remark: str


@dataclass(frozen=True)
class Cell:
    """A number of the confusion table and how it is coloured."""

    text: str
    tone: str


def draw(request: HttpRequest, row: Judgement) -> dict[str, Any]:
    """The template's context."""
    names = display_names(row.candidate.model)
    outdated = _outdated(row)
    serves = row.candidate.model.desired_version()
    user: Any = request.user
    may_promote = user.has_perm("registry.add_promotion") and serves != row.candidate
    classes = row.figures["classes"]
    return {
        "title": str(row),
        "words": with_names(row.words, names),
        "outdated": outdated,
        "is_serving": serves == row.candidate,
        "previous": previous_version(row.candidate.model) if serves == row.candidate else None,
        "may_promote": may_promote,
        "is_open": row.passed and not outdated,
        "may_force": may_promote and may_force(user) and not (row.passed and not outdated),
        "may_judge": user.has_perm("registry.add_judgement"),
        "may_roll_back": user.has_perms(["registry.add_promotion", "registry.view_registeredmodel"]),
        "rules": [(_outcome_chip(one), one["rule"], with_names(one["words"], names)) for one in row.rules],
        "figures": list(_figures(row.figures)),
        "classes": [_class_row(one, names) for one in shown_classes(classes)],
        "num_classes": len(classes),
        "confusion": _confusion(row.figures["confusion"], names),
        "lost": list(_flipped(request, row, names, is_lost=True)),
        "gained": list(_flipped(request, row, names, is_lost=False)),
        "left_out": [(number, LEFT_OUT.get(reason, reason)) for reason, number in row.figures["left_out"].items()],
        "when": cells.moment(row.created_at),
    }


def _outcome_chip(rule: dict[str, Any]) -> SafeString:
    tone, words = TONES[rule["outcome"]]
    return cells.chip(words, tone)


def _outdated(row: Judgement) -> str:
    """Why it decides nothing any more."""
    serves = row.candidate.model.desired_version()
    if serves not in (row.serving, row.candidate):
        return f"{serves or 'Nothing'} serves by now, and not {row.serving}."
    newest = Judgement.objects.of(row.candidate, row.serving).first()
    if newest is not None and newest.pk != row.pk:
        return "It was judged once more since."
    return why_outdated(row)


def _figures(figures: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, candidate, what serves, difference."""
    accuracy = figures["accuracy"]
    low, high = accuracy["interval"]
    yield (*_shares("Accuracy", accuracy), f"{_points(accuracy['difference'])} ({_points(low)} to {_points(high)})")
    recall = figures["macro_recall"]
    yield (*_shares("Macro recall", recall), _points(recall["difference"]))
    for words, name in (
        ("Calibration error", "ece"),
        ("Said “none of my classes” of its classes", "false_alarms"),
        ("Said so of photos that show none", "strangers_caught"),
    ):
        both = figures[name]
        known = both["candidate"] is not None and both["serving"] is not None
        yield (*_shares(words, both), _points(both["candidate"] - both["serving"]) if known else "")
    for name, words in (("p50", "Milliseconds a photo, median"), ("p95", "Milliseconds a photo, 95th percentile")):
        ours, theirs = (figures["latency_ms"][who][name] for who in ("candidate", "serving"))
        yield words, f"{ours:.1f}", f"{theirs:.1f}", f"× {ours / theirs:.2f}" if theirs else ""
    yield "Engine", figures["engines"]["candidate"], figures["engines"]["serving"], ""


def _shares(words: str, both: dict[str, float | None]) -> tuple[str, str, str]:
    return words, _share(both["candidate"]), _share(both["serving"])


def shown_classes(classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All of them, or of many the greatest losses and gains."""
    if len(classes) <= MAX_CLASSES:
        return classes
    return classes[: MAX_CLASSES - MAX_GAINS] + classes[-MAX_GAINS:]


def _class_row(one: dict[str, Any], names: dict[str, str]) -> ClassRow:
    change, (low, high) = one["difference"], one["interval"]
    return ClassRow(
        name=names.get(one["label"], one["label"]),
        num_photos=one["num_photos"],
        before=_share(one["serving"]),
        after=_share(one["candidate"]),
        change=_points(change),
        interval=f"{_points(low)} to {_points(high)}",
        bar=(f"{100 + min(0, change) * 100:.1f}", f"{abs(change) * 100:.1f}"),
        whisker=(f"{100 + low * 100:.1f}", f"{100 + high * 100:.1f}"),
        tone="bad" if change < 0 else "good",
        remark="new" if one["is_new"] else "not known any more" if one["is_forgotten"] else "",
    )


def _confusion(confusion: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The table: columns, and rows of a name and its cells."""
    labels, changes = confusion["labels"], confusion["changes"]
    most = max((abs(number) for row in changes for number in row), default=0)
    rows = [
        (names.get(label, label), [_cell(number, most, is_right=at == column) for column, number in enumerate(row)])
        for at, (label, row) in enumerate(zip(labels, changes, strict=True))
    ]
    return {"columns": [names.get(label, label) for label in labels], "rows": rows, "num": confusion["num_classes"]}


def _cell(number: int, most: int, *, is_right: bool) -> Cell:
    """More right answers are good, more mistakes are bad."""
    if not number:
        return Cell("0", "")
    strength = 1 + min(2, 3 * abs(number) // (most + 1))
    return Cell(f"{number:+d}".replace("-", "−"), f"{'good' if (number > 0) == is_right else 'bad'}-{strength}")


def _flipped(
    request: HttpRequest, row: Judgement, names: dict[str, str], *, is_lost: bool
) -> Iterator[tuple[SafeString, str, str, str]]:
    """Picture, what it shows, what served and the candidate answered."""
    chosen = [one for one in row.flipped if (one["before"] == one["label"]) is is_lost]
    items = SnapshotItem.objects.alive().in_bulk([one["item"] for one in chosen])
    for one in chosen:
        if (item := items.get(one["item"])) is None:
            continue
        label = names.get(one["label"], one["label"])
        before, after = (_answer(one, who, names) for who in ("before", "after"))
        words = f"{label}: before {before}, now {after}"
        address = reverse("admin:training_snapshotitem_thumbnail", args=[one["item"]])
        yield thumbnail(address, words) if may_see(request, item) else cells.NO_PICTURE, label, before, after


def _answer(one: dict[str, Any], who: str, names: dict[str, str]) -> str:
    return f"{names.get(one[who], one[who]) or 'a retired class'} {one[f'{who}_score']:.2f}"


def _share(value: float | None) -> str:
    return "never" if value is None else f"{value * 100:.1f} %"


def _points(difference: float) -> str:
    return f"{difference * 100:+.1f}".replace("-", "−")
