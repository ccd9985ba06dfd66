"""A training run: from a frozen snapshot to a candidate version with its figures and report."""

import fcntl
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.timezone import now

from classifier_core.artifact import Artifact
from classifier_core.datasets.splits import Split
from classifier_core.errors import ClassifierError, TrainingStopped
from classifier_core.evaluation import answer_photos
from classifier_core.metrics import accuracy_interval
from classifier_core.training import run_folder
from classifier_core.training.config import TrainConfig
from classifier_core.training.packing import Packaging
from classifier_core.training.runs import train
from classifier_core.training.watching import Watch
from recognizer.predictions.models import Blob
from recognizer.registry import artifact_store
from recognizer.registry.configurations import chosen_spec, num_threads
from recognizer.registry.imports import install, register
from recognizer.registry.models import Evaluation, LearnedPhoto, ModelVersion
from recognizer.registry.taxonomy import fitting
from recognizer.storage import is_local, reachable
from recognizer.training.export import materialise
from recognizer.training.judgings import ask_for_judgement
from recognizer.training.looking import lock_alive
from recognizer.training.models import LeaseLost
from recognizer.training.run_cleaning import drop_weights
from recognizer.training.run_course import Course
from recognizer.training.run_models import TrainingRun
from recognizer.training.run_options import weights_folder

MOST_CLASSES = 100  # with a confusion matrix in the database; the report has it always
UNJUDGED = "The snapshot has no test photos, so nothing is known of how it answers photos it did not learn from."
ROWS = 1000


@dataclass(frozen=True)
class Trained:
    """What the learning thread gives."""

    artifact: Artifact
    parity: dict[str, Any]
    test: dict[str, Any] | None  # fields of the evaluation


def execute(run: TrainingRun, *, bar: bool = False) -> None:
    """Train a run that was claimed: it ends ready, failed or cancelled, or goes back to the queue when we stop.

    Raises LeaseLost.
    """
    course = Course(run)
    try:
        _Execution(run, course, bar=bar).run()
    except (TrainingStopped, KeyboardInterrupt) as stop:
        if course.was_cancelled():
            run.end_cancelled()
        elif not run.release():
            raise LeaseLost(f"{run} is not ours any more.") from stop
    except (ClassifierError, OSError, MemoryError) as error:
        run.fail(str(error) or "This machine has too little memory for this training.")


class _Execution:
    """One attempt at one run."""

    def __init__(self, run: TrainingRun, course: Course, *, bar: bool) -> None:
        self._run, self._course, self._bar = run, course, bar
        self._folder, self._data_name = run.path, str(run.snapshot)  # read here: the learning thread asks no database

    def run(self) -> None:
        with _alone(self._folder, self._course), _photos(self._run, self._course) as split:
            if self._is_outdated(split):
                shutil.rmtree(self._folder)
                self._course.start_again()
                self._course.say("Photos were erased since it began: it begins again without them.")
            config, packaging = self._config(), self._packaging()
            groups = dict(self._run.snapshot.items.alive().values_list("blob_id", "group"))
            trained = self._course.do(lambda: self._train(config, split, packaging, groups))
            _publish_report(self._folder / run_folder.REPORT, self._run.report_name)
            self._register(trained, split)
        drop_weights(self._folder)

    def _is_outdated(self, split: Split) -> bool:
        """Whether the folder's run is on other photos: some were erased."""
        if not (self._folder / run_folder.CONFIG).exists():
            return False
        then = run_folder.read_json(self._folder / run_folder.DATA)["parts"]
        return any(then[name]["num_images"] != len(part.photos) for name, part in split.parts().items())

    def _config(self) -> TrainConfig:
        config = TrainConfig.from_dict(self._run.config)
        if self._run.start_version is not None:
            artifact = artifact_store.fetch(self._run.start_version.artifact_sha256)
            return replace(config, pretrained=str(artifact.folder))
        if self._run.start_file:
            return replace(config, pretrained=str(weights_folder() / self._run.start_file))
        return config

    def _packaging(self) -> Packaging:
        run = self._run
        labels = run.model.labels.filter(key__in=run.snapshot.counts)
        names = {label.key: fitting(label.names) for label in labels}  # older rows may have empty ones
        origin = {
            "source": source_of(run),
            "training_run": run.pk,
            "snapshot": run.snapshot.pk,
            "snapshot_sha256": run.snapshot.content_sha256,
        }
        return Packaging(names, origin=origin)

    def _train(self, config: TrainConfig, split: Split, packaging: Packaging, groups: dict[str, int]) -> Trained:
        course = self._course
        result = train(
            config,
            split,
            self._folder,
            data_name=self._data_name,
            packaging=packaging,
            progress=course.say,
            watch=Watch(course.tick, course.on_epoch, bar=self._bar),
        )
        assert result is not None  # noqa: S101  # only torchrun's other processes get none
        course.say("Exporting the network, and measuring that the export answers like it.")
        parity = install(result.artifact)
        artifact = artifact_store.fetch(result.artifact.sha256)
        course.say("Judging it on the test part, as it would serve.")
        test = _judge(artifact, split, groups, course.check) if split.test.photos else None
        return Trained(artifact, parity, test)

    def _register(self, trained: Trained, split: Split) -> None:
        """All rows or none: a candidate without figures, or of a run that is not ours, would be worse than none."""
        with transaction.atomic():
            version = self._version(trained)
            if trained.test is not None:
                self._evaluate(version, trained.test, split)
            _learned(version, split, self._run)
            self._course.say(f"{version} is a candidate now.")
            self._course.store()
            if not self._run.finish(candidate=version, eta_seconds=None):
                raise LeaseLost(f"{self._run} is not ours any more.")
            if version.model.desired_version():  # here: a worker that dies after its run would never ask
                ask_for_judgement(version, by=self._run.created_by)

    def _version(self, trained: Trained) -> ModelVersion:
        run, sha256 = self._run, trained.artifact.sha256
        existing = run.model.versions.filter(artifact_sha256=sha256).first()
        if existing is not None:
            return existing
        skipped = "" if trained.test else UNJUDGED
        who = run.created_by
        return register(
            trained.artifact, trained.parity, model=run.model, source=source_of(run), skipped=skipped, by=who
        )

    def _evaluate(self, version: ModelVersion, figures: dict[str, Any], split: Split) -> None:
        state = self._run.snapshot.test_state
        is_whole = state is not None and state.content_sha256 == figures["dataset_sha256"]
        name = str(state) + ("" if is_whole else ", less what was erased since")
        Evaluation.objects.create(version=version, dataset=name, source=source_of(self._run), **figures)


def source_of(run: TrainingRun) -> str:
    """What a version and an evaluation say of where they come from."""
    return f"training run {run.number}"


@contextmanager
def _alone(folder: Path, course: Course) -> Iterator[None]:
    """Until the end nobody else on this machine works in this folder: an attempt that lost its lease may still be."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            course.beat()
            course.check()
            time.sleep(0.2)
        yield


@contextmanager
def _photos(run: TrainingRun, course: Course) -> Iterator[Split]:
    """The snapshot's photos as files, for as long as they are needed."""
    folder = run.path.with_name(f"{run.folder}.photos")
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed
    try:
        yield materialise(run.snapshot, folder, tick=course.keep_up).split
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _judge(artifact: Artifact, split: Split, groups: dict[str, int], check: Callable[[], None]) -> dict[str, Any]:
    """The fields of an evaluation on the test part, by the engine that would serve."""
    photos = [(photo.path, photo.label) for photo in split.test.photos]
    spec = chosen_spec(artifact)
    answered = answer_photos(artifact, photos, spec=spec, num_threads=num_threads(), progress=lambda _: check())
    metrics = answered.measure()
    is_right = answered.output.logits.argmax(1) == answered.targets
    interval = accuracy_interval(is_right, groups=[groups.get(path.stem, -1) for path in answered.photos])
    figures = {**metrics.to_dict(), "accuracy_interval": interval, **answered.known_shares()}
    if artifact.num_classes > MOST_CLASSES:
        del figures["confusion"]
    return {
        "dataset_sha256": _content_sha256(split),
        "num_images": metrics.num_images,
        "accuracy": metrics.accuracy,
        "macro_recall": metrics.macro_recall,
        "metrics": figures,
        "engine": spec.engine,
        "precision": spec.precision,
    }


def _content_sha256(split: Split) -> str:
    """As a state of the test part is named; another one when photos of it were erased since."""
    lines = sorted(f"{photo.path.stem}\t{photo.label}\n" for photo in split.test.photos)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _learned(version: ModelVersion, split: Split, run: TrainingRun) -> None:
    """Note what it learned from. What was erased while it did is marked as that at once."""
    hashes = sorted({photo.path.stem for part in (split.train, split.val) for photo in part.photos})
    for start in range(0, len(hashes), ROWS):
        some = hashes[start : start + ROWS]
        there = lock_alive(Blob, some)  # an erasure comes before, and is seen here, or after, and marks our row
        alive = set(run.snapshot.items.alive().filter(blob__in=there).values_list("blob_id", flat=True))
        rows = [
            LearnedPhoto(version=version, blob_sha256=one, erased_at=None if one in alive else now()) for one in some
        ]
        LearnedPhoto.objects.bulk_create(rows, ignore_conflicts=True)


def _publish_report(path: Path, name: str) -> None:
    """Where the web process finds it."""
    if is_local():
        return
    with reachable(), path.open("rb") as file:
        default_storage.save(name, File(file))
