"""What `evaluate` leaves: a report, the figures behind it, and a CSV of the answers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifier_core import durable
from classifier_core.evaluation import Answered, write_predictions
from classifier_core.metrics import accuracy_interval
from classifier_core.reports.judgement import add_judgement, write_figures
from classifier_core.reports.page import Report

MAX_STRANGERS = 12  # shown as pictures
REPORT, METRICS, PREDICTIONS, FIGURES = "report.html", "metrics.json", "predictions.csv", "figures"


def write_evaluation(
    answered: Answered, folder: Path, *, name: str, root: Path, groups: Sequence[int] | None = None
) -> dict[str, Any]:
    """Write `report.html`, `metrics.json`, `predictions.csv` and `figures/` into the folder; gives the metrics.

    `groups` are the near-duplicates among all photos, for an honest interval. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics = summarise(answered, name=name, groups=groups)
    report = Report(f"{answered.artifact.architecture} on {name}", intro=" ".join(sentences(metrics)))
    figures = _judge(report, answered)
    _add_known(report, answered, metrics)
    _add_unreadable(report, answered)
    _add_circumstances(report, answered)
    write_figures(figures, folder / FIGURES)
    write_predictions(answered, folder / PREDICTIONS, root=root)
    durable.replace(folder / METRICS, [durable.as_json(metrics)])
    report.write(folder / REPORT)
    return metrics


def summarise(answered: Answered, *, name: str, groups: Sequence[int] | None = None) -> dict[str, Any]:
    """Everything `metrics.json` says, as plain values."""
    summary: dict[str, Any] = {
        "dataset": name,
        "artifact_sha256": answered.artifact.sha256,
        "engine": str(answered.spec),
        "num_unreadable": len(answered.unreadable),
        "num_strangers": int((~answered.is_ours).sum()),
        **answered.known_shares(),
    }
    if not answered.is_ours.any():
        return summary | {"num_images": 0}
    is_right = (answered.scores.argmax(1) == answered.targets)[answered.is_ours]
    ours = np.asarray(groups)[answered.is_ours].tolist() if groups is not None else None
    return (
        summary
        | answered.measure().to_dict()
        | {"accuracy_interval": accuracy_interval(is_right, groups=ours), **_sure(answered, is_right)}
    )


def sentences(metrics: dict[str, Any]) -> Iterator[str]:
    """The figures people ask for first."""
    if metrics["num_images"]:
        low, high = metrics["accuracy_interval"]
        yield (
            f"{metrics['accuracy']:.1%} of {metrics['num_images']} photos are answered right (95 % interval "
            f"{low:.1%} to {high:.1%}); macro recall {metrics['macro_recall']:.1%}."
        )
    yield from stranger_sentences(metrics)
    if metrics["num_unreadable"]:
        yield f"{metrics['num_unreadable']} files cannot be read and do not count."


def stranger_sentences(metrics: dict[str, Any]) -> Iterator[str]:
    """How often "none of my classes" is said, wrongly and rightly."""
    if metrics["false_alarms"] is not None:
        yield f"{metrics['false_alarms']:.1%} of the photos of its classes are taken for none of them."
    if metrics["strangers_caught"] is not None:
        yield (
            f"Of {metrics['num_strangers']} photos of none of the classes, {metrics['strangers_caught']:.1%} are "
            "answered so."
        )
    elif metrics["num_strangers"]:
        yield f"{metrics['num_strangers']} photos are of none of the classes; the model has no threshold for that."


def _sure(answered: Answered, is_right: Any) -> dict[str, float | None]:
    """The answers that reach the threshold of their own label: how many, and how many of them are right."""
    sure = np.array([bool(answer.is_sure) for answer in answered.answers])[answered.is_ours]
    has_thresholds = bool(answered.artifact.thresholds and answered.artifact.thresholds.label_scores)
    if not has_thresholds:
        return {"sure_share": None, "sure_precision": None}
    return {"sure_share": float(sure.mean()), "sure_precision": float(is_right[sure].mean()) if sure.any() else None}


def _judge(report: Report, answered: Answered) -> dict[str, Any]:
    ours = answered.is_ours
    if not ours.any():
        return {}
    report.section("The model's classes")
    return add_judgement(
        report,
        targets=answered.targets[ours],
        logits=answered.output.logits[ours],
        features=answered.output.features[ours],
        photos=[photo for photo, is_ours in zip(answered.photos, ours, strict=True) if is_ours],
        labels=answered.keys,
        temperature=answered.artifact.temperature,
        known=answered.artifact.load_known_rule(),
    )


def _add_known(report: Report, answered: Answered, metrics: dict[str, Any]) -> None:
    strangers = np.flatnonzero(~answered.is_ours)
    if not len(strangers) and metrics["false_alarms"] is None:
        return
    report.section("None of my classes", " ".join(stranger_sentences(metrics)))
    taken = [at for at in strangers if answered.answers[at].known is not False]
    worst = sorted(taken, key=lambda at: -answered.answers[at].scores[0].score)[:MAX_STRANGERS]
    if worst:
        shown = [(answered.photos[at], _told(answered, int(at))) for at in worst]
        report.photos(shown, caption=f"Strangers that were given a label, the surest {len(worst)} of {len(taken)}.")
    missed = [at for at in np.flatnonzero(answered.is_ours) if answered.answers[at].known is False][:MAX_STRANGERS]
    if missed:
        shown = [(answered.photos[at], _told(answered, int(at))) for at in missed]
        report.photos(shown, caption="Photos of the classes that were taken for strangers.")


def _told(answered: Answered, at: int) -> str:
    best = answered.answers[at].scores[0]
    return f"{answered.labels[at] or answered.photos[at].name}\nanswered {best.label}, {best.score:.2f}"


def _add_unreadable(report: Report, answered: Answered) -> None:
    if answered.unreadable:
        report.section("Files that cannot be read")
        report.table(("file", "reason"), [(path.name, reason) for path, reason in answered.unreadable])


def _add_circumstances(report: Report, answered: Answered) -> None:
    artifact = answered.artifact
    rows = [
        ("model", f"{artifact.architecture}, {artifact.num_classes} classes"),
        ("artifact", artifact.sha256),
        ("engine", str(answered.spec)),
        ("temperature", f"{artifact.temperature:.4g}"),
        ("photos", f"{len(answered.photos)} answered, {len(answered.unreadable)} not readable"),
    ]
    report.section("What was measured, and how")
    report.table(("what", "value"), rows)
