"""What a check-up found, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from recognizer.training.checkup_models import CheckUp, Finding

Kind = Finding.Kind
Names = Mapping[str, str]  # display names, by the key of a label
MORE_PHOTOS = 20  # as in classifier_core.learning_curve, which loads numpy; a test keeps them equal


def about_findings(finding: Finding, names: Names | None = None) -> str:
    """Why a person is asked about this photo."""
    names = names or {}
    label, other, likely = (names.get(key, key) for key in (finding.label, finding.other_label, finding.likely))
    words = {
        Kind.LABEL: f"Labelled {label}, looks like {likely}",
        Kind.CONFLICT: f"One photo, labelled {label} and {other}",
        Kind.LEAK: f"{label}: in {finding.part}, and a copy in {finding.other_part}",
        Kind.COPY: f"{label}: a copy of another photo",
        Kind.BLURRED: f"{label}: far less sharp than the others ({finding.value or 0:.0f})",
        Kind.TINY: f"{label}: {finding.value or 0:.0f} pixels on the shorter side",
        Kind.UNREADABLE: f"{label}: {finding.problem}",
    }
    return words[Kind(finding.kind)]


def about_scores(finding: Finding, names: Names) -> str:
    """How sure the photos beside it are of both labels; empty where no scores led to it."""
    if finding.likely_score is None or finding.label_score is None:
        return ""
    likely, label = (names.get(key, key) for key in (finding.likely, finding.label))
    return f"{likely} {finding.likely_score:.2f}, {label} {finding.label_score:.2f}"


def what_fixing_does(finding: Finding, names: Names | None = None) -> str:
    """What the button says."""
    if finding.kind in (Kind.LABEL, Kind.CONFLICT):
        return f"Label it {(names or {}).get(finding.likely, finding.likely)}"
    return "Take it out"


def what_changes(finding: Finding, names: Names | None = None) -> str:
    """Why, and what fixing does, in one line."""
    doing = what_fixing_does(finding, names)
    return f"{about_findings(finding, names)}: {doing[:1].lower()}{doing[1:]}"


def points(share: float) -> str:
    """A gain: 0.0123 is `+1.2`."""
    return f"{100 * share:+.1f}"


def between(found: Mapping[str, float]) -> str:
    """`+1.2 points (0.1 to 2.5)`."""
    return f"{points(found['value'])} points ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def about_the_whole(checkup: CheckUp) -> Iterator[str]:
    """Sentences about all photos together."""
    if checkup.curve_problem:
        yield checkup.curve_problem
    if not checkup.curve:
        return
    now = checkup.curve["measured"][-1]
    yield (
        f"A head that learned from {now['photos']} of the {checkup.curve['num_photos']} photos names "
        f"{now['accuracy']['value']:.1%} of the others right. "
        f"Half as many photos again, of all classes, would probably give {between(checkup.curve['half_more'])}."
    )


def about_classes(checkup: CheckUp, names: Names | None = None) -> Iterator[str]:
    """A sentence for each class, the largest gain first."""
    for label, number in checkup.curve.get("too_few", {}).items():
        yield f"{(names or {}).get(label, label)} has {number} different photos: too few to say. Add some first."
    for gain in checkup.curve.get("classes", []):
        yield about_class(gain, names)


def about_class(gain: Mapping[str, Any], names: Names | None = None) -> str:
    """What more photos of it would bring."""
    name = (names or {}).get(gain["label"], gain["label"])
    if gain["own"]["value"] < 0.0005:
        return f"{MORE_PHOTOS} more photos of {name} would probably change nothing: {gain['recall']:.1%} are found now."
    return (
        f"{MORE_PHOTOS} more photos of {name} would probably give {between(gain['own'])} for {name}, and "
        f"{between(gain['mean'])} in the mean of all classes."
    )
