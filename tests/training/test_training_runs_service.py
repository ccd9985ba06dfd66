"""Training runs in the service: from a snapshot to a candidate with figures, through stops, deaths and erasures."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils.timezone import now

from classifier_core.training import finish
from recognizer.predictions.erasure import erase
from recognizer.registry import artifact_store
from recognizer.registry.models import Evaluation, LearnedPhoto, ModelVersion, RegisteredModel
from recognizer.training import run_course
from recognizer.training.models import MAX_ATTEMPTS, DatasetSnapshot, Judging, LeaseLost
from recognizer.training.run_models import TrainingRun
from recognizer.training.runs import execute
from tests.recognition import serve_tiny
from tests.service import PROJECT_DIR, wait_until
from tests.training.run_rows import asked, executed, quick_beats
from tests.training.snapshot_rows import frozen, photo_bytes, reviewed, with_base_photos

pytestmark = [pytest.mark.xdist_group("torch"), pytest.mark.usefixtures("one_thread", "_swift")]

MANY_EPOCHS = 40


@pytest.fixture
def _swift(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_beats(monkeypatch)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawing takes longer than all the rest.
    monkeypatch.setattr(finish, "write_report", lambda folder, *_values, **_: (folder / "report.html").write_text("x"))


@pytest.fixture
def snapshot(fruit_rows: RegisteredModel, tmp_path: Path) -> DatasetSnapshot:
    with_base_photos(fruit_rows, tmp_path / "fruit", each=10)
    return frozen(fruit_rows)


def after_an_epoch(monkeypatch: pytest.MonkeyPatch, do: Callable[[TrainingRun], Any]) -> None:
    """Something happens to the run once its first epochs are stored."""
    store = TrainingRun.record

    def record(run: TrainingRun, curves: Sequence[Any]) -> bool:
        is_ours = store(run, curves)
        do(run)
        return is_ours

    monkeypatch.setattr(TrainingRun, "record", record)


def reload(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.get(pk=run.pk)


def test_run_ends_with_a_candidate_its_figures_and_a_report(snapshot: DatasetSnapshot):
    run = executed(asked(snapshot))

    assert run.status == "ready", run.error
    assert [point["epoch"] for point in run.curves] == [1, 2]
    assert "Epoch 2 of 2: loss" in run.log_tail
    version = run.candidate
    assert (version.number, version.source, version.skipped_checks) == (2, "training run 1", "")
    assert version.model.desired_version().number == 1
    evaluation = Evaluation.objects.get(version=version)
    assert evaluation.dataset == "fruit test part, state 1"
    assert evaluation.dataset_sha256 == snapshot.test_state.content_sha256
    assert evaluation.num_images == snapshot.test_state.num_photos
    assert len(evaluation.metrics["confusion"]) == 2
    told = version.manifest["provenance"]
    assert (told["training_run"], told["snapshot"]) == (run.pk, snapshot.pk)
    assert artifact_store.fetch(version.artifact_sha256).labels[0].names["en"] == "Apple"
    left = {path.name for path in run.path.iterdir()}
    assert {"report.html", "log.jsonl"} <= left
    assert not {"checkpoint.safetensors", "artifact"} & left
    assert [path.name for path in run.path.parent.iterdir()] == [run.folder]
    assert [judging.candidate for judging in Judging.objects.all()] == [version]  # though the task ended with the run


def test_label_without_a_chinese_name_is_packed(snapshot: DatasetSnapshot, no_report: None):
    snapshot.model.labels.update(names={"en": "Fruit " * 30, "zh": ""})  # as older rows may have them

    run = executed(asked(snapshot, epochs=1))

    assert run.status == "ready", run.error
    [names, _] = [label.names for label in artifact_store.fetch(run.candidate.artifact_sha256).labels]
    assert names == {"en": ("Fruit " * 30)[:100].strip()}


def test_erasing_a_photo_marks_the_version_that_learned_it(
    fruit_rows: RegisteredModel, tmp_path: Path, no_report: None
):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=6)
    rows = {reviewed(photo_bytes(seed)) for seed in range(5000, 5006)}
    snapshot = frozen(fruit_rows)
    parts = dict(snapshot.items.alive().values_list("prediction", "part"))
    run = executed(asked(snapshot, epochs=1))
    version = run.candidate

    for row in rows:
        erase(row, erased_by="user:1")

    learned = sum(parts.get(row.pk) in ("train", "val") for row in rows)
    assert version.num_erased == learned > 0
    assert LearnedPhoto.objects.count() == snapshot.items.exclude(part="test").count()
    assert run.has_erased_photos()


def test_serving_version_is_where_a_quick_run_starts(
    tiny_folder: Path, tmp_path: Path, fresh_process: None, db: None, no_report: None
):
    shutil.copytree(tiny_folder, artifact_store.folder_of(tiny_folder.name))
    fruit = serve_tiny("fruit", tiny_folder.name)
    ModelVersion.objects.update(manifest={"preprocessing": {"crop_size": 64, "channels": 3, "method": "resize_crop"}})
    with_base_photos(fruit, tmp_path / "fruit", each=6)

    run = executed(asked(frozen(fruit), start="serving", preset="quick", architecture="", image_size=None))

    assert run.status == "ready", run.error
    assert (run.architecture, run.start_version) == ("mobilenetv3_small_050", fruit.desired_version())
    assert "Computing the features" in run.log_tail
    assert run.config["image_size"] == 64
    assert run.candidate.manifest["provenance"]["start"]["source"] == tiny_folder.name


def test_cancelled_run_stops_after_its_epoch_and_can_go_on(
    snapshot: DatasetSnapshot, monkeypatch: pytest.MonkeyPatch, no_report: None
):
    with monkeypatch.context() as patch:
        after_an_epoch(patch, TrainingRun.cancel)
        run = executed(asked(snapshot, epochs=MANY_EPOCHS))

    assert (run.status, run.candidate, run.lease_until) == ("cancelled", None, None)
    assert 0 < run.epoch < MANY_EPOCHS
    assert not run.cancel()
    assert run.go_on()
    assert (reload(run).status, reload(run).cancel_requested_at) == ("pending", None)


def test_run_that_waits_is_cancelled_at_once(snapshot: DatasetSnapshot):
    run = asked(snapshot)

    assert run.cancel()

    assert reload(run).status == "cancelled"
    assert TrainingRun.objects.claim() is None


def test_worker_that_stops_gives_the_run_back(
    snapshot: DatasetSnapshot, monkeypatch: pytest.MonkeyPatch, no_report: None
):
    monkeypatch.setattr(run_course, "stopping", threading.Event())
    with monkeypatch.context() as patch:
        after_an_epoch(patch, lambda _: run_course.stopping.set())
        run = executed(asked(snapshot, epochs=8))
    run_course.stopping.clear()

    assert (run.status, run.lease_until) == ("pending", None)
    again = executed(run)
    assert again.status == "ready", again.error
    assert [point["epoch"] for point in again.curves] == list(range(1, 9))
    assert "Going on after epoch" in again.log_tail


def test_lost_lease_changes_nothing(snapshot: DatasetSnapshot, monkeypatch: pytest.MonkeyPatch, no_report: None):
    others = TrainingRun.objects.all()
    after_an_epoch(monkeypatch, lambda _: others.update(attempts=F("attempts") + 1, log_tail="theirs"))
    run = asked(snapshot, epochs=3)
    assert run.start()

    with pytest.raises(LeaseLost):
        execute(run)

    theirs = reload(run)
    assert (theirs.status, theirs.attempts, theirs.log_tail, theirs.candidate) == ("running", 2, "theirs", None)
    assert ModelVersion.objects.count() == 1


@pytest.mark.slow
def test_photo_erased_between_two_attempts_is_learned_no_more(
    fruit_rows: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=6)
    rows = [reviewed(photo_bytes(seed)) for seed in range(5000, 5006)]
    snapshot = frozen(fruit_rows)
    monkeypatch.setattr(run_course, "stopping", threading.Event())
    with monkeypatch.context() as patch:
        after_an_epoch(patch, lambda _: run_course.stopping.set())
        run = executed(asked(snapshot, epochs=4))
    run_course.stopping.clear()
    hashes = {row.image.blob_id for row in rows}
    for row in rows:
        erase(row, erased_by="user:1")

    again = executed(run)

    assert again.status == "ready", again.error
    assert "it begins again without them" in again.log_tail
    assert not LearnedPhoto.objects.filter(blob_sha256__in=hashes).exists()
    assert again.candidate.evaluations.get().num_images <= snapshot.test_state.num_photos


def test_what_cannot_be_trained_fails_with_the_reason(snapshot: DatasetSnapshot):
    run = asked(snapshot)
    run.config["arch"] = "no_such_network"  # as of a library that has it no more
    run.save()

    run = executed(run)

    assert run.status == "failed"
    assert "no_such_network" in run.error


KILLED = """
import django; django.setup()
import torch; torch.set_num_threads(1)
from recognizer.training import run_course
run_course.BEAT_SECONDS = 0.02
from recognizer.training.runs import execute
from recognizer.training.run_models import TrainingRun
execute(TrainingRun.objects.claim())
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_worker_s_run_goes_on_where_it_was(
    snapshot: DatasetSnapshot, media: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
):
    run = asked(snapshot, epochs=MANY_EPOCHS)
    database = f"sqlite:///{connection.settings_dict['NAME']}"
    chosen = {"RECOGNIZER_DATA_DIR": str(media.parent), "DATABASE_URL": database}
    chosen["DJANGO_SETTINGS_MODULE"] = "recognizer.settings"
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=PROJECT_DIR, env=os.environ | chosen) as worker:
        wait_until(lambda: reload(run).epoch >= 1, seconds=120, what="An epoch")
        worker.kill()
    left = reload(run)
    assert left.status == "running"

    TrainingRun.objects.return_expired(now() + timedelta(minutes=5))
    claimed = TrainingRun.objects.claim()
    execute(claimed)

    done = reload(run)
    assert done.status == "ready", done.error
    assert (done.attempts, done.epoch) == (2, MANY_EPOCHS)
    assert "Going on after epoch" in done.log_tail
    assert [path.name for path in done.path.parent.iterdir()] == [done.folder]


def test_run_that_kills_its_workers_fails_and_one_that_gets_on_does_not(snapshot: DatasetSnapshot):
    stuck, lively = asked(snapshot), asked(snapshot)
    for attempt in range(MAX_ATTEMPTS):
        for run in (stuck, lively):
            assert run.start()
        if attempt == 1:
            assert lively.record([])
        TrainingRun.objects.return_expired(now() + timedelta(minutes=5))
        stuck, lively = reload(stuck), reload(lively)

    assert (stuck.status, lively.status) == ("failed", "pending")
    assert "each time it was tried" in stuck.error


def test_cancelled_run_of_a_dead_worker_ends(snapshot: DatasetSnapshot):
    run = asked(snapshot)
    assert run.start()
    assert run.cancel()

    TrainingRun.objects.return_expired(now() + timedelta(minutes=5))

    assert reload(run).status == "cancelled"
