"""`report.html` of a run: what was asked, how it went, and what came of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from classifier_core.known import KnownRule
from classifier_core.reports.judgement import add_judgement, write_figures
from classifier_core.reports.page import Report
from classifier_core.reports.plots import loss_and_accuracy_curves
from classifier_core.training import run_folder
from classifier_core.training.config import TrainConfig
from classifier_core.training.judging import Judged

PART_NAMES = {"train": "training photos", "val": "validation photos", "test": "test photos"}


def write_report(
    folder: Path,
    config: TrainConfig,
    results: Mapping[str, Any],
    *,
    parts: Mapping[str, Judged],
    known: KnownRule | None,
    attention: Sequence[tuple[Image, str]],
) -> None:
    """Write the page, and the values of its figures as JSON, in place of older ones. Raises OSError.

    `attention` are photos under their class activation maps, with words to each.
    """
    data = run_folder.read_json(folder / run_folder.DATA)
    report = Report(f"{config.arch} on {data['name']}", intro=_summary(results, data))
    _add_course(report, folder, results)
    for name, judged in reversed(list(parts.items())):
        report.section(f"On {PART_NAMES[name]}")
        figures = add_judgement(
            report,
            targets=judged.dataset.targets,
            logits=judged.answers.logits,
            features=judged.answers.features,
            photos=[photo.path for photo in judged.dataset.photos],
            labels=judged.dataset.labels,
            temperature=results["temperature"],
            known=known,
        )
        write_figures(figures, folder / run_folder.FIGURES / name)
    _add_attention(report, attention)
    _add_circumstances(report, folder, config)
    report.write(folder / run_folder.REPORT)


def _summary(results: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    name = "test" if "test" in results["parts"] else "val"
    figures = results["parts"][name]
    low, high = figures["accuracy_interval"]
    return (
        f"{figures['accuracy']:.1%} of {figures['num_images']} {PART_NAMES[name]} are answered right (95 % interval "
        f"{low:.1%} to {high:.1%}); the mean over the {len(data['labels'])} classes is {figures['macro_recall']:.1%}."
    )


def _add_course(report: Report, folder: Path, results: Mapping[str, Any]) -> None:
    report.section(
        "How it learned",
        f"{results['epochs']} epochs in {results['train_seconds']:.0f} s; epoch {results['best_epoch']} was the best "
        "on validation and is kept. The training figures are those on the photos as they were changed at random.",
    )
    caption = "The same figures, for each class too, are in log.jsonl."
    figure = loss_and_accuracy_curves(run_folder.read_log(folder))
    report.figure(figure, alt="Loss and accuracy over the epochs, on training and validation photos.", caption=caption)
    rows = [
        (
            PART_NAMES[name],
            one["num_images"],
            one["accuracy"],
            one["macro_recall"],
            one["macro_f1"],
            one["nll"],
            one["ece"],
        )
        for name, one in results["parts"].items()
    ]
    head = ("part", "photos", "accuracy", "macro recall", "macro F1", "log-likelihood loss", "calibration error")
    report.table(head, rows, caption="The best weights, on photos as they are served.")


def _add_attention(report: Report, attention: Sequence[tuple[Image, str]]) -> None:
    if not attention:
        return
    report.section(
        "Where it looked",
        "Class activation maps: bright is the part of the photo that spoke for the answer. Brightness on the ground "
        "beside the thing says that the network learned where photos were taken rather than what they show.",
    )
    report.pictures(attention, caption="The first photo of each class.")


def _add_circumstances(report: Report, folder: Path, config: TrainConfig) -> None:
    cost = run_folder.read_json(folder / run_folder.NETWORK)["cost"]
    report.section("The network and the run")
    report.table(
        ("what", "figure"),
        [
            ("parameters", f"{cost['num_parameters']:,}"),
            ("of these, trained", f"{cost['num_trainable']:,}"),
            ("operations for one photo", f"{cost['flops']:,}"),
        ],
    )
    report.table(("option", "value"), [(name, str(value)) for name, value in config.to_dict().items()])
    environment = run_folder.read_json(folder / run_folder.ENVIRONMENT)
    report.table(("environment", "value"), [(name, str(value)) for name, value in environment.items()])
