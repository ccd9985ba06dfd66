"""An artifact's answers for a folder of photos, through the same engine and preprocessing as serving."""

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifier_core import durable
from classifier_core.artifact import Artifact
from classifier_core.classifier import Classification, Classifier
from classifier_core.datasets.archive import open_dataset
from classifier_core.datasets.folder import Dataset, part_folders, photos_below, to_label
from classifier_core.datasets.splits import read_lists
from classifier_core.engines import Engine, EngineOutput, EngineSpec, join_outputs, load_engine
from classifier_core.engines.graph import graph_folder
from classifier_core.engines.parity import softmax
from classifier_core.errors import ClassifierError, DatasetInvalid
from classifier_core.metrics import Floats, Metrics, measure
from classifier_core.preprocessing import Pixels
from classifier_core.spreadsheets import BYTE_ORDER_MARK, harmless

BATCH_SIZE = 8
PREDICTIONS_HEAD = ("path", "label", "predicted", "score", "known")
Photos = Sequence[tuple[Path, str]]  # with their labels; empty: none
_LISTED = 20  # names in a sentence
STRANGER = -1  # the class index of a photo whose label the model does not have, or which has none


@dataclass(frozen=True)
class Answered:
    """What an artifact says about the photos that could be read, in their order."""

    artifact: Artifact
    spec: EngineSpec
    photos: tuple[Path, ...]
    labels: tuple[str, ...]  # of each photo, as its folder says; empty: none
    targets: npt.NDArray[np.int64]  # [N], class index in the artifact, or STRANGER
    output: EngineOutput
    answers: tuple[Classification, ...]  # the best label first
    unreadable: tuple[tuple[Path, str], ...]  # with the reason

    @property
    def scores(self) -> Floats:
        """Calibrated, [N, K]."""
        return softmax(self.output.logits, temperature=self.artifact.temperature)

    @property
    def is_ours(self) -> npt.NDArray[np.bool_]:
        """Whether each photo shows a class of the model, [N]."""
        return np.asarray(self.targets != STRANGER)

    @property
    def keys(self) -> tuple[str, ...]:
        """The model's labels by class index."""
        return tuple(label.key for label in self.artifact.labels)

    def measure(self) -> Metrics:
        """The figures over the photos of the model's classes. Raises ClassifierError when there are none."""
        return measure(self.targets[self.is_ours], self.scores[self.is_ours], labels=self.keys)

    def known_shares(self) -> dict[str, float | None]:
        """How often "none of my classes" was said: wrongly, and rightly. None where there is nothing to count."""
        known = np.array([answer.known for answer in self.answers])
        if not len(known) or known[0] is None:
            return {"false_alarms": None, "strangers_caught": None}
        ours, strangers = known[self.is_ours], known[~self.is_ours]
        return {
            "false_alarms": float(1 - ours.mean()) if len(ours) else None,
            "strangers_caught": float(1 - strangers.mean()) if len(strangers) else None,
        }


@contextmanager
def open_photos(source: Path, *, split: Path | None = None, part: str = "test") -> Iterator[tuple[Path, Photos]]:
    """The photos to answer, and the folder they lie in: of a folder, or of a CSV or zip as training takes them.

    A folder need not be fit for training: the folder a photo lies in is its label, whatever labels there are, and
    photos that lie in no folder have none. With the lists of a `split`, only those of this part: train, val or test.

    Raises DatasetInvalid when there is no photo.
    """
    if not source.is_dir():
        with open_dataset(source) as dataset:
            photos: Photos = [(photo.path, photo.label) for photo in dataset.photos]
            yield dataset.root, _listed(split, dataset.root, part) if split else photos
        return
    if split is not None:
        yield source, _listed(split, source, part)
        return
    is_split = bool(part_folders(source))
    photos = [(path, _label_of(path.relative_to(source), is_split=is_split)) for path in photos_below(source)]
    if not photos:
        raise DatasetInvalid(f"{source} holds no photos. Name a folder that does.")
    yield source, photos


def _listed(split: Path, root: Path, part: str) -> Photos:
    photos = read_lists(split, root).parts()[part].photos
    if not photos:
        raise DatasetInvalid(f"{split / part}.txt lists no photos. Split again with a share for {part}.")
    return [(photo.path, photo.label) for photo in photos]


def never_learned(artifact: Artifact, judges: Dataset) -> bool:
    """Whether the artifact says that its own run was judged by these photos, so that it did not learn from them."""
    parts = artifact.provenance.get("data", {})
    parts = parts.get("parts", {}) if isinstance(parts, dict) else {}
    return judges.fingerprint in {parts.get(name, {}).get("sha256") for name in ("test", "val")}


def answer_photos(
    artifact: Artifact,
    photos: Photos,
    *,
    spec: EngineSpec,
    num_threads: int,
    progress: Callable[[int], None] = lambda _count: None,
) -> Answered:
    """Run the artifact over photos with their labels; a label is a key of the model or one of its names.

    Photos that cannot be read are left out and listed. `progress` is told how many more are done.
    Raises EngineUnavailable, EngineFailed, ExportFailed; ClassifierError when not one photo can be read.
    """
    classifier = Classifier(artifact, load_any_engine(artifact, spec, num_threads=num_threads))
    readable, unreadable, outputs = [], [], []
    for batch in _read_in_batches(artifact, photos, num_threads):
        good = [(at, pixels) for at, pixels in batch if not isinstance(pixels, str)]
        unreadable += [(photos[at][0], pixels) for at, pixels in batch if isinstance(pixels, str)]
        if good:
            readable += [at for at, _ in good]
            outputs.append(classifier.engine.run(np.stack([pixels for _, pixels in good])))
        progress(len(batch))
    if not outputs:
        raise ClassifierError("Not one photo could be read. Name a folder that holds photos.")
    output = join_outputs(outputs)
    indices = class_indices(artifact, {label for _, label in photos})
    return Answered(
        artifact=artifact,
        spec=spec,
        photos=tuple(photos[at][0] for at in readable),
        labels=tuple(photos[at][1] for at in readable),
        targets=np.array([indices.get(photos[at][1], STRANGER) for at in readable], np.int64),
        output=output,
        answers=tuple(classifier.answers(output, top_k=1)),
        unreadable=tuple(unreadable),
    )


def load_any_engine(artifact: Artifact, spec: EngineSpec, *, num_threads: int) -> Engine:
    """`load_engine`, also for an artifact whose graph was never exported; nothing is written beside it.

    Raises EngineUnavailable, ExportFailed.
    """
    if spec.engine != "openvino" or graph_folder(artifact).exists():
        return load_engine(artifact, spec, num_threads=num_threads)
    from classifier_core.export import exported  # loads torch

    with exported(artifact, num_threads=num_threads) as ready:
        return load_engine(ready, spec, num_threads=num_threads)


def readable_pixels(artifact: Artifact, photos: Photos) -> Iterator[tuple[int, Pixels]]:
    """The photos that can be read, prepared, with their position."""
    for at, (path, _) in enumerate(photos):
        pixels = _pixels_or_reason(artifact, path)
        if not isinstance(pixels, str):
            yield at, pixels


def class_indices(artifact: Artifact, labels: Iterable[str]) -> dict[str, int]:
    """The class index of each of these folder names that means one of the model's classes.

    A name means a class by its key, or by a name in some language that no other class has; failing these, by one of
    them in other capitals or another width.
    """
    exact = _single(artifact, fold=lambda name: name) | {one.key: at for at, one in enumerate(artifact.labels)}
    alike = _single(artifact, fold=_folded)
    found = {label: exact.get(label, alike.get(_folded(label))) for label in labels}
    return {label: index for label, index in found.items() if index is not None}


def strange_labels(artifact: Artifact, photos: Photos, *, may_lack: bool = False) -> list[str]:
    """The folders of these photos that are no class of the model.

    Raises DatasetInvalid when none is one; photos that lie in no folder at all are fine where they `may_lack` one.
    """
    labels = sorted({label for _, label in photos} - {""})
    ours = class_indices(artifact, labels)
    if ours or (may_lack and not labels):
        return [label for label in labels if label not in ours]
    found = f"the folders are {listed(labels)}" if labels else "the photos lie in no folders"
    raise DatasetInvalid(
        f"Not one folder is named like a class of the model {artifact.architecture} {artifact.sha256[:8]}: {found}, "
        f"its classes are {listed([label.key for label in artifact.labels])}. Name the folders like these."
        + (" For photos of none of them, add --unlabelled." if may_lack else "")
    )


def listed(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    shown = ", ".join(names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def write_predictions(answered: Answered, path: Path, *, root: Path) -> None:
    """A CSV of path,label,predicted,score,known; paths are relative to `root`. Raises OSError."""
    file = io.StringIO(newline="")
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(PREDICTIONS_HEAD)
    rows.writerows([harmless(cell) for cell in row] for row in _rows(answered, root))
    durable.replace(path, [(BYTE_ORDER_MARK + file.getvalue()).encode()])


def _single(artifact: Artifact, *, fold: Callable[[str], str]) -> dict[str, int]:
    """Class index by folded name, of the names that only one class has."""
    classes: dict[str, set[int]] = {}
    for index, label in enumerate(artifact.labels):
        for name in (label.key, *label.names.values()):
            classes.setdefault(fold(name), set()).add(index)
    return {name: next(iter(indices)) for name, indices in classes.items() if len(indices) == 1}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _label_of(path: Path, *, is_split: bool) -> str:
    folders = path.parts[1:-1] if is_split else path.parts[:-1]
    return to_label(folders[0]) if folders else ""


def _rows(answered: Answered, root: Path) -> Iterator[tuple[object, ...]]:
    for path, label, answer in zip(answered.photos, answered.labels, answered.answers, strict=True):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        known = "" if answer.known is None else str(answer.known).lower()
        yield name, label, answer.scores[0].label, f"{answer.scores[0].score:.6f}", known


def _read_in_batches(artifact: Artifact, photos: Photos, num_threads: int) -> Iterator[list[tuple[int, Pixels | str]]]:
    load = partial(_pixels_or_reason, artifact)
    with ThreadPoolExecutor(num_threads) as threads:
        for start in range(0, len(photos), BATCH_SIZE):
            numbers = range(start, min(start + BATCH_SIZE, len(photos)))
            pixels = threads.map(load, [photos[at][0] for at in numbers])
            yield list(zip(numbers, pixels, strict=True))


def _pixels_or_reason(artifact: Artifact, path: Path) -> Pixels | str:
    try:
        return artifact.preprocessing.load(path.read_bytes())
    except (ClassifierError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__
