"""The part of a report that shows what a model gets right and wrong, with every figure as plain values too."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifier_core import durable
from classifier_core.engines.parity import softmax
from classifier_core.known import KnownRule, known_distances
from classifier_core.metrics import (
    Floats,
    Ints,
    Metrics,
    confused_pairs,
    coverage_error,
    measure,
    pr_curves,
    reliability_bins,
    roc_curves,
)
from classifier_core.reports import plots
from classifier_core.reports.page import Report

MAX_MISTAKES = 12  # shown as pictures
MAX_POINTS = 1000  # of the t-SNE, which takes seconds for these
_TSNE_DIMENSIONS = 50  # after PCA, as van der Maaten and Hinton 2008 do


def add_judgement(  # noqa: PLR0913  everything that is known of the answers
    report: Report,
    *,
    targets: Ints,
    logits: Floats,
    features: Floats,
    photos: Sequence[Path],
    labels: Sequence[str],
    temperature: float,
    known: KnownRule | None = None,
) -> dict[str, Any]:
    """Add figures, tables and pictures for class indices [N], logits [N, K] and pooled features [N, F].

    Gives the values behind every figure, by name, for `write_figures`. Raises ClassifierError when there is nothing
    to judge.
    """
    scores = softmax(logits, temperature=temperature)
    metrics = measure(targets, scores, labels=labels)
    _add_classes(report, metrics)
    figures = {
        "metrics": metrics.to_dict(),
        "confusion_matrix": {"labels": list(labels), "counts": metrics.confusion},
        **_add_curves(report, targets, scores, labels),
        **_add_reliability(report, targets, logits, temperature),
        **_add_coverage(report, targets, scores, features, known),
    }
    _add_mistakes(report, targets, scores, photos, labels)
    return figures | _add_tsne(report, targets, features, labels)


def write_figures(figures: Mapping[str, Any], folder: Path) -> None:
    """One JSON file a figure, in place of older ones. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in figures.items():
        durable.replace(folder / f"{name}.json", [(json.dumps(values, ensure_ascii=False) + "\n").encode()])


def embed(features: Floats, *, seed: int = 0) -> Floats:
    """The features [N, F] in two dimensions [N, 2] by t-SNE, after PCA."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    dimensions = min(_TSNE_DIMENSIONS, *features.shape)
    reduced = PCA(dimensions, random_state=seed, svd_solver="full").fit_transform(features.astype(np.float64))
    perplexity = min(30.0, (len(features) - 1) / 3)
    points: Floats = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return points


def _add_classes(report: Report, metrics: Metrics) -> None:
    labels = [one.label for one in metrics.classes]
    lowest = min((one for one in metrics.classes if one.support), key=lambda one: one.recall)
    report.figure(
        plots.confusion_matrix(metrics.confusion, labels),
        alt=f"Confusion matrix of {len(labels)} classes; the lowest recall is {lowest.recall:.2f}, of {lowest.label}.",
        caption="Rows are the true classes, columns the answers; shaded by the share of the row.",
    )
    rows = [(one.label, one.support, one.precision, one.recall, one.specificity, one.f1) for one in metrics.classes]
    report.table(("class", "photos", "precision", "recall", "specificity", "F1"), rows)
    if pairs := confused_pairs(metrics):
        report.table(("true class", "answered", "photos"), pairs, caption="The pairs confused most often.")


def _add_curves(report: Report, targets: Ints, scores: Floats, labels: Sequence[str]) -> dict[str, Any]:
    roc, precision = (curves(targets, scores, labels=labels) for curves in (roc_curves, pr_curves))
    if not roc:
        return {}
    mean = np.mean([curve["area"] for curve in roc.values()])
    report.figure(
        plots.roc_curves(roc),
        alt=f"ROC curve of each class against the others; the mean area is {mean:.3f}.",
        caption="Each class against all others. AUC is the area under the curve; 0.5 is chance, 1 is perfect.",
    )
    mean = np.mean([curve["area"] for curve in precision.values()])
    report.figure(
        plots.pr_curves(precision),
        alt=f"Precision against recall of each class; the mean average precision is {mean:.3f}.",
        caption="Precision against recall as the score needed for an answer falls. AP is the average precision.",
    )
    return {"roc_curves": roc, "pr_curves": precision}


def _add_reliability(report: Report, targets: Ints, logits: Floats, temperature: float) -> dict[str, Any]:
    before, after = (reliability_bins(targets, softmax(logits, temperature=value)) for value in (1.0, temperature))
    report.figure(
        plots.reliability(after, before=before if temperature != 1 else ()),
        alt="Reliability diagram: accuracy against confidence, in bins.",
        caption="On the dotted line a score of 0.8 is right 8 times in 10. Larger dots stand for more photos. "
        f"Temperature {temperature:.3g}.",
    )
    return {"reliability": {"temperature": temperature, "before": before, "calibrated": after}}


def _add_coverage(
    report: Report, targets: Ints, scores: Floats, features: Floats, known: KnownRule | None
) -> dict[str, Any]:
    curves = {"surest score first": coverage_error(targets, scores)}
    chosen: dict[str, float] | None = None
    if known is not None:
        if known.features is not None:
            nearness = -known_distances(features, known.features)
            curves["nearest to known photos first"] = coverage_error(targets, scores, sureness=nearness)
        chosen = _kept(targets, scores, known.accepts(scores, features))
    error = curves["surest score first"]["error"][-1]
    report.figure(
        plots.coverage_error(curves, chosen=chosen),
        alt=f"Error among the answers against the share of photos answered; {error:.3f} when all are.",
        caption="If only some photos were answered, how many of the answers would be wrong?"
        + (" The dot is where the model draws the line to 'none of my classes'." if chosen else ""),
    )
    return {"coverage_error": {"curves": curves, "chosen": chosen}}


def _kept(targets: Ints, scores: Floats, is_known: Any) -> dict[str, float] | None:
    if not is_known.any():
        return None
    is_wrong = scores.argmax(1) != targets
    return {"coverage": float(is_known.mean()), "error": float(is_wrong[is_known].mean())}


def _add_mistakes(report: Report, targets: Ints, scores: Floats, photos: Sequence[Path], labels: Sequence[str]) -> None:
    answers, tops = scores.argmax(1), scores.max(1)
    wrong = np.flatnonzero(answers != targets)
    worst = wrong[np.argsort(-tops[wrong], kind="stable")][:MAX_MISTAKES]
    if not len(worst):
        report.text("Not one photo was answered wrong.")
        return
    shown = [(photos[at], f"{labels[targets[at]]}\nanswered {labels[answers[at]]}, {tops[at]:.2f}") for at in worst]
    report.photos(shown, caption=f"The mistakes the model is surest of, {len(worst)} of {len(wrong)}.")


def _add_tsne(report: Report, targets: Ints, features: Floats, labels: Sequence[str]) -> dict[str, Any]:
    if len(targets) < 10:
        return {}
    chosen = np.sort(np.random.default_rng(0).permutation(len(targets))[:MAX_POINTS])
    points = embed(features[chosen])
    report.figure(
        plots.tsne(points, targets[chosen], labels),
        alt="t-SNE of the features: one point a photo, coloured by class.",
        caption="What lies close together looks alike to the network (t-SNE of the features"
        + (f" of {len(chosen)} photos drawn at random)." if len(chosen) < len(targets) else ")."),
    )
    where = [[round(float(x), 2), round(float(y), 2)] for x, y in points]
    return {"tsne": {"points": where, "labels": [labels[index] for index in targets[chosen]]}}
