"""Many networks on the same photos, in one table: what they get right and what they cost."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from classifier_core.architectures import build_model, measure_cost
from classifier_core.artifact import Artifact
from classifier_core.crops import sample_crops
from classifier_core.datasets.folder import Dataset
from classifier_core.engines import EngineSpec, load_engine
from classifier_core.engines.latency import measure_latency
from classifier_core.engines.openvino import has_bfloat16
from classifier_core.errors import ClassifierError, TrainingFailed
from classifier_core.evaluation import Answered, answer_photos, never_learned, strange_labels
from classifier_core.export import exported
from classifier_core.metrics import Metrics
from classifier_core.training import run_folder
from classifier_core.training.packing import size_of
from classifier_core.training.runs import RunResult

Start = Literal["scratch", "pretrained", "artifact"]
ENGINES = (EngineSpec("torch"), EngineSpec("openvino"), EngineSpec("openvino", "cpu", "bfloat16"))


@dataclass(frozen=True)
class Entry:
    """One line of the table. `course` is the accuracy on validation after each epoch, for a run."""

    name: str
    start: Start
    num_images: int  # of the test photos
    accuracy: float
    macro_recall: float
    num_parameters: int
    flops: int  # for one picture
    num_bytes: int  # of the artifact
    milliseconds: dict[str, float | None]  # one picture, by engine; None where it does not run
    course: tuple[float, ...] = field(default=())
    note: str = ""  # what makes the line hard to compare
    source: str = ""  # the folder or model that it was loaded from, as it was named

    @property
    def title(self) -> str:
        """The name, how it began where that is not from scratch, and where it was loaded from."""
        start = "" if self.start == "scratch" else self.start
        words = ", ".join(filter(None, (self.name, start, self.source)))
        return f"{words} ({self.note})" if self.note else words

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def describe_run(result: RunResult, judges: Dataset, *, num_threads: int) -> Entry:
    """The line of a finished run. Raises ClassifierError, also when other photos judged it."""
    part, cost = _part_judged_by(result, judges), result.figures["cost"]
    figures = result.figures["parts"][part]
    config = run_folder.read_json(result.folder / run_folder.CONFIG)
    return Entry(
        name=config["arch"],
        start="pretrained" if config["pretrained"] else "scratch",
        num_images=figures["num_images"],
        accuracy=figures["accuracy"],
        macro_recall=figures["macro_recall"],
        num_parameters=cost["num_parameters"],
        flops=cost["flops"],
        num_bytes=size_of(result.artifact),
        milliseconds=measure_engines(result.artifact, num_threads=num_threads),
        course=tuple(entry["val"]["accuracy"] for entry in run_folder.read_log(result.folder)),
    )


def describe_artifact(artifact: Artifact, judges: Dataset, *, num_threads: int) -> Entry:
    """The line of an artifact from elsewhere, judged by these photos with torch. Raises ClassifierError."""
    photos = [(photo.path, photo.label) for photo in judges.photos]
    strange_labels(artifact, photos)
    answered: Answered = answer_photos(artifact, photos, spec=ENGINES[0], num_threads=num_threads)
    metrics: Metrics = answered.measure()
    preparation = artifact.preprocessing
    model = build_model(artifact.architecture, num_classes=artifact.num_classes, in_channels=artifact.in_channels)
    cost = measure_cost(model, in_channels=artifact.in_channels, size=preparation.crop_size)
    return Entry(
        name=artifact.architecture,
        start="artifact",
        num_images=metrics.num_images,
        accuracy=metrics.accuracy,
        macro_recall=metrics.macro_recall,
        num_parameters=cost.num_parameters,
        flops=cost.flops,
        num_bytes=size_of(artifact),
        milliseconds=measure_engines(artifact, num_threads=num_threads),
        note="" if never_learned(artifact, judges) else "may have learned these photos",
    )


def _part_judged_by(result: RunResult, judges: Dataset) -> str:
    parts = run_folder.read_json(result.folder / run_folder.DATA)["parts"]
    for name in ("test", "val"):
        if parts.get(name, {}).get("sha256") == judges.fingerprint and name in result.figures["parts"]:
            return name
    raise TrainingFailed(f"{result.folder} was judged by other photos. Name the split it was trained with (--split).")


def measure_engines(artifact: Artifact, *, num_threads: int) -> dict[str, float | None]:
    """Milliseconds for one picture by engine; None where the artifact, or this machine, does not run on it."""
    found: dict[str, float | None] = dict.fromkeys(map(str, ENGINES))
    try:
        with exported(artifact, num_threads=num_threads) as ready:
            found.update(_measured(ready, ENGINES, num_threads))
    except ClassifierError:  # no such graph: torch is left
        found.update(_measured(artifact, ENGINES[:1], num_threads))
    return found


def _measured(artifact: Artifact, specs: Sequence[EngineSpec], num_threads: int) -> Iterator[tuple[str, float]]:
    [pixels] = sample_crops(artifact.preprocessing, 1)
    for spec in specs:
        if spec.precision != "bfloat16" or has_bfloat16():
            engine = load_engine(artifact, spec, num_threads=num_threads)
            yield str(spec), measure_latency(engine, pixels)
