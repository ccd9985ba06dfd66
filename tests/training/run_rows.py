"""Training runs, small enough for tests, and rows of runs that never ran."""

from pathlib import Path
from typing import Any

import pytest

from recognizer.registry.models import RegisteredModel
from recognizer.training import run_course
from recognizer.training.models import DatasetSnapshot
from recognizer.training.run_asking import ask_for_run
from recognizer.training.run_models import TrainingRun
from recognizer.training.run_options import RunOptions
from recognizer.training.runs import execute

TINY = RunOptions(start="scratch", architecture="mobilenet_v2_digits", image_size=32, epochs=2)
CURVES = [
    {"epoch": epoch, "lr": 0.1, "seconds": 1.0, "recall": 0.5, **dict.fromkeys(("train", "val"), figures)}
    for epoch, figures in enumerate([{"loss": 0.8, "accuracy": 0.5}, {"loss": 0.4, "accuracy": 0.75}], 1)
]


def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the row often."""
    monkeypatch.setattr(run_course, "BEAT_SECONDS", 0.05)


def asked(snapshot: DatasetSnapshot, **options: Any) -> TrainingRun:
    """A pending run of a tiny network."""
    return ask_for_run(snapshot, RunOptions(**{**vars(TINY), **options}), by=None, rings=False)


def executed(run: TrainingRun) -> TrainingRun:
    """The run after a worker has had it."""
    assert run.start()
    execute(run)
    return TrainingRun.objects.get(pk=run.pk)


def ready_snapshot(model: RegisteredModel, number: int = 1) -> DatasetSnapshot:
    """One without photos, for tests of rows."""
    return DatasetSnapshot.objects.create(model=model, number=number, status="ready")


def ended_run(snapshot: DatasetSnapshot, *, status: str = "ready", **fields: Any) -> TrainingRun:
    """A run that is over, with a folder as it leaves one."""
    run = asked(snapshot)
    TrainingRun.objects.filter(pk=run.pk).update(status=status, **fields)
    write_report(run.path, "<p>report</p>")
    return TrainingRun.objects.get(pk=run.pk)


def write_report(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(text)
