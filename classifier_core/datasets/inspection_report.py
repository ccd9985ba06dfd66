"""An inspection as one page with pictures."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from classifier_core import durable
from classifier_core.datasets.disk import writing
from classifier_core.datasets.folder import Dataset, Photo
from classifier_core.datasets.inspection import Finding, Inspection, Pair, SuspectedLabel
from classifier_core.errors import ClassifierError, DatasetUnwritable
from classifier_core.images import decode
from classifier_core.reports import plots
from classifier_core.reports.page import Report

if TYPE_CHECKING:
    from classifier_core.training.augmentation import Recipe

Paths = Mapping[str, Path]  # by the name below the root

SAMPLES = 6  # photos of each class
MAX_CLASSES = 30  # with samples
MAX_SHOWN = 40  # photos of each kind of finding; the JSON beside the page has all
AUGMENTED_SIDE = 200  # pixels
VARIANTS = 5  # of each augmented photo


_OUR_TITLE = "Data set "
_OURS = ('<meta name="generator" content="Recognizer">', f"<title>{_OUR_TITLE}")


def check_report(path: Path) -> Path:
    """Where the JSON beside this page lies, after seeing that nothing but an older report would be written over.

    Raises DatasetUnwritable.
    """
    beside = path.with_suffix(".json")
    if path == beside:
        raise DatasetUnwritable(f"{path} is the name of the figures beside the page. Name an .html file with --report.")
    for one, is_ours in ((path, _is_our_page), (beside, _is_our_json)):
        if (one.exists() or one.is_symlink()) and not (one.is_file() and not one.is_symlink() and is_ours(one)):
            raise DatasetUnwritable(f"{one} is there already and no report of `dataset inspect`. Name a new --report.")
    return beside


def _is_our_page(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(2000).decode(errors="replace")
    return all(mark in start for mark in _OURS)


def _is_our_json(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(found, dict) and {field.name for field in fields(Inspection)} == found.keys()


def write_report(found: Inspection, dataset: Dataset, path: Path, *, name: str, seed: int = 0) -> Path:
    """Write the page, and all it tells as JSON beside it, whose path is returned. Raises DatasetUnwritable."""
    beside = check_report(path)
    random = np.random.default_rng(seed)
    report = Report(f"{_OUR_TITLE}{name}", intro=_intro(found))
    _advise(report, found)
    _count(report, found)
    _measure(report, found)
    shown = _readable(dataset, found)
    _sample(report, shown, random)
    with tempfile.TemporaryDirectory(prefix="recognizer-") as folder:
        _augment(report, shown, Path(folder), random)
    _draw_features(report, found)
    paths = {dataset.name_of(photo): photo.path for photo in dataset.photos}
    _show_suspects(report, found, paths)
    _show_duplicates(report, found, paths)
    _show_findings(report, found, paths)
    with writing(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        report.write(path)
        durable.replace(beside, [(json.dumps(found.to_dict(), ensure_ascii=False) + "\n").encode()])
    return beside


def _intro(found: Inspection) -> str:
    return (
        f"{found.num_photos} photos of {len(found.counts)} classes. Fingerprint {found.fingerprint[:16]}: the same "
        "photos with the same labels give the same one."
    )


def _advise(report: Report, found: Inspection) -> None:
    report.section("What to do")
    for sentence in found.advice:
        report.text(sentence)


def _count(report: Report, found: Inspection) -> None:
    report.section("Photos of each class")
    mean = found.num_photos / len(found.counts)
    most = max(found.counts.items(), key=lambda item: item[1])
    least = min(found.counts.items(), key=lambda item: item[1])
    alt = f"Bars: from {least[0]} with {least[1]} to {most[0]} with {most[1]} photos; the mean is {mean:.0f}."
    report.figure(plots.class_bars(found.counts), alt=alt)
    head = ["class", "photos", "share", *found.parts]
    report.table(
        head,
        [
            (label, count, f"{count / found.num_photos:.1%}", *(part[label] for part in found.parts.values()))
            for label, count in found.counts.items()
        ],
    )


def _measure(report: Report, found: Inspection) -> None:
    report.section("Sizes and colours")
    sizes = np.array(found.sizes)
    low, middle, high = (np.percentile(sizes, share, axis=0).astype(int) for share in (0, 50, 100))
    alt = f"Widths from {low[0]} to {high[0]} pixels, heights from {low[1]} to {high[1]}."
    report.figure(
        plots.resolution_scatter(found.sizes), alt=alt, caption="One point a size; the more photos have it, the larger."
    )
    report.table(
        ["pixels", "smallest", "median", "largest"],
        [("width", low[0], middle[0], high[0]), ("height", low[1], middle[1], high[1])],
    )
    report.table(
        ["channel", "mean", "standard deviation"],
        list(zip(("red", "green", "blue"), found.channel_mean, found.channel_std, strict=True)),
        caption="Of values in 0-1, over all pixels; each photo counts the same.",
    )


def _readable(dataset: Dataset, found: Inspection) -> Dataset:
    """Without the photos that cannot be read, but for classes that have no other."""
    broken = {finding.path for finding in found.unreadable}
    good = [photo for photo in dataset.photos if dataset.name_of(photo) not in broken]
    lost = set(dataset.labels) - {photo.label for photo in good}
    return dataset.only([*good, *(photo for photo in dataset.photos if photo.label in lost)])


def _sample(report: Report, dataset: Dataset, random: np.random.Generator) -> None:
    report.section("Samples")
    shown = dataset.labels[:MAX_CLASSES]
    if len(shown) < len(dataset.labels):
        report.text(f"The first {MAX_CLASSES} of {len(dataset.labels)} classes.")
    for label in shown:  # a row each
        report.photos([(photo.path, label) for photo in _drawn(dataset, label, random)])


def _drawn(dataset: Dataset, label: str, random: np.random.Generator) -> list[Photo]:
    photos = [photo for photo in dataset.photos if photo.label == label]
    return [photos[number] for number in sorted(random.permutation(len(photos))[:SAMPLES])]


def _augment(report: Report, dataset: Dataset, folder: Path, random: np.random.Generator) -> None:
    from classifier_core.training.augmentation import recipe_of
    from classifier_core.training.config import TrainConfig

    report.section("Augmentation", "What the presets of `train --augmentation` make of photos.")
    labels = [dataset.labels[number] for number in sorted(random.permutation(len(dataset.labels))[:3])]
    photos = [photo for label in labels for photo in _drawn(dataset, label, random)[:1]]
    for preset in ("flip-crop", "strong"):
        recipe = recipe_of(TrainConfig("mobilenet_v2", augmentation=preset))
        for photo in photos:
            report.photos([(photo.path, photo.label), *_varied(photo, recipe, folder)], caption=preset)


def _varied(photo: Photo, recipe: "Recipe", folder: Path) -> Iterator[tuple[Path, str]]:
    import torch

    from classifier_core.training.augmentation import crop_batch, erase, recolour

    try:
        pixels = np.asarray(decode(photo.path.read_bytes(), shorter_side=AUGMENTED_SIDE))
    except (OSError, ClassifierError):
        return
    picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    generator = torch.Generator().manual_seed(0)
    images = crop_batch([picture] * VARIANTS, recipe, size=AUGMENTED_SIDE, generator=generator).float()
    images = erase(recolour(images, recipe, generator) - 127.5, recipe, generator) + 127.5
    for image in images.round().to(torch.uint8).permute(0, 2, 3, 1).numpy():
        path = folder / f"{len(list(folder.iterdir()))}.png"
        Image.fromarray(image).save(path)
        yield path, "changed"


def _draw_features(report: Report, found: Inspection) -> None:
    if not found.points:
        return
    words = "What lies close together looks alike to the network. A class in several islands is several things to it."
    report.section("Features", f"Pooled features of {found.features_from}, drawn in two dimensions by t-SNE. {words}")
    labels = list(found.counts)
    places = np.array([(point.x, point.y) for point in found.points])
    targets = np.array([labels.index(point.label) for point in found.points])
    alt = f"t-SNE of {len(found.points)} photos, coloured by class."
    report.figure(plots.tsne(places, targets, labels), alt=alt, caption=f"{len(found.points)} photos.")


def _show_suspects(report: Report, found: Inspection, paths: Paths) -> None:
    report.section("Suspected wrong labels", found.labels_checked)
    if found.held_out_accuracy is not None:
        count = len(found.suspected_labels)
        order = " The surest come first." if count > 1 else ""
        report.text(
            f"It named {found.held_out_accuracy:.1%} of the photos as labelled; {count} "
            f"{'looks' if count == 1 else 'look'} like another class instead.{order}"
        )
    shown = found.suspected_labels[:MAX_SHOWN]
    if shown:
        report.photos(
            [(paths[suspect.path], _said(suspect)) for suspect in shown], caption=_more(found.suspected_labels)
        )


def _said(suspect: SuspectedLabel) -> str:
    return f"{suspect.label}? rather {suspect.likely} ({suspect.likely_score:.2f}), {Path(suspect.path).name}"


def _show_duplicates(report: Report, found: Inspection, paths: Paths) -> None:
    kinds = [
        ("The same photo with two labels", [pair for pair in found.duplicates if pair.crosses_labels]),
        ("The same photo in two parts of the split", [pair for pair in found.duplicates if pair.crosses_parts]),
        ("Exact duplicates", [pair for pair in found.duplicates if pair.kind == "exact"]),
        ("Near duplicates", [pair for pair in found.duplicates if pair.kind == "near"]),
    ]
    report.section("Duplicates", "Compared by their bytes, and by a perceptual hash in all eight orientations.")
    for words, pairs in kinds:
        report.text(f"{words}: {len(pairs) or 'none'}.")
        if pairs:
            report.photos(_side_by_side(pairs[: MAX_SHOWN // 2], paths), caption=_more(pairs, MAX_SHOWN // 2))


def _side_by_side(pairs: Iterable[Pair], paths: Paths) -> Iterator[tuple[Path, str]]:
    for number, pair in enumerate(pairs, 1):
        for path, label, part in zip(pair.paths, pair.labels, pair.parts, strict=True):
            yield paths[path], f"{number}: {label}, {f'{part}, ' if part else ''}{Path(path).name}"


def _show_findings(report: Report, found: Inspection, paths: Paths) -> None:
    report.section("Unreadable files")
    report.text(f"{len(found.unreadable) or 'None'}.")
    if found.unreadable:
        rows = [(finding.path, finding.words) for finding in found.unreadable[: 5 * MAX_SHOWN]]
        report.table(["file", "why"], rows, caption=_more(found.unreadable, 5 * MAX_SHOWN))
    report.section("Blurred and tiny photos", "Against the other photos of this data set.")
    for words, findings, unit in (("Blurred", found.blurred, "sharpness "), ("Tiny", found.tiny, "pixels ")):
        report.text(f"{words}: {len(findings) or 'none'}.")
        if findings:
            report.photos([_shown(finding, paths, unit) for finding in findings[:MAX_SHOWN]], caption=_more(findings))


def _shown(finding: Finding, paths: Paths, unit: str) -> tuple[Path, str]:
    return paths[finding.path], f"{finding.label}, {unit}{finding.value:.0f}, {Path(finding.path).name}"


def _more(findings: Sequence[object], shown: int = MAX_SHOWN) -> str:
    return f"The first {shown} of {len(findings)}." if len(findings) > shown else ""
