"""What a run may be asked for, when one begins by itself, and what old ones leave: rows only, nothing is trained."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from classifier_core.errors import TrainingFailed
from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Trial
from recognizer.registry import artifact_store
from recognizer.registry.models import ModelVersion, RegisteredModel, RemovedArtifact
from recognizer.registry.promotion import PromotionRefused, promote
from recognizer.training import bell
from recognizer.training.base_photos import ask_for_import
from recognizer.training.checkup_models import PhotoDecision
from recognizer.training.models import DatasetSnapshot, Job, PhotoImport
from recognizer.training.run_asking import new_reviews, retrain_when_due
from recognizer.training.run_cleaning import KEPT_RUNS, clean
from recognizer.training.run_models import TrainingRun
from recognizer.training.run_options import ARCHITECTURES, PRESETS, RunOptions, build_config, find_start
from recognizer.training.snapshots import freeze
from recognizer.training.tasks import tend
from tests.recognition import add_version
from tests.training.run_rows import asked, ended_run, ready_snapshot
from tests.training.snapshot_rows import answered, photo_bytes, reject, reviewed

LATER = timedelta(days=31)


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(bell, "ring", heard.append)
    return heard


@pytest.fixture
def snapshot(fruit_rows: RegisteredModel) -> DatasetSnapshot:
    return ready_snapshot(fruit_rows)


# Asking


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "quick"}, "nothing to keep frozen"),
        ({"preset": "slow"}, "no preset 'slow'"),
        ({"start": "file:../../etc/passwd"}, "There is no file"),
        ({"start": "file:nothing.safetensors"}, "Put a .safetensors file there"),
        ({"start": "version:999999"}, "no such version"),
        ({"start": "version:²"}, "no such version"),
        ({"start": "version:"}, "no such version"),
        ({"architecture": " "}, "Name an architecture"),
        ({"epochs": -1}, "at least one epoch"),
        ({"image_size": 4}, "8 to 2048 pixels"),
    ],
)
def test_senseless_wishes_are_refused_in_words(snapshot: DatasetSnapshot, options: dict[str, Any], words: str):
    with pytest.raises(TrainingFailed, match=words):
        asked(snapshot, **options)
    assert not TrainingRun.objects.exists()


def test_model_that_serves_nothing_starts_elsewhere(db: None):
    model = RegisteredModel.objects.create(name="new")

    with pytest.raises(TrainingFailed, match="no version that serves"):
        asked(ready_snapshot(model), start="serving")


def test_weights_in_the_folder_can_be_chosen(snapshot: DatasetSnapshot, media: Path):
    (media / "weights").mkdir(parents=True)
    (media / "weights" / "small.safetensors").touch()

    run = asked(snapshot, start="file:small.safetensors")

    assert (run.start_kind, run.start_file, run.config["pretrained"]) == ("weights",) + ("small.safetensors",) * 2


@pytest.mark.parametrize("preset", PRESETS)
def test_run_takes_over_what_the_photos_need(fruit_rows: RegisteredModel, preset: str):
    shape = {"image_size": 96, "serving_size": 128, "channels": 1, "fit": "letterbox", "flip": False, "recolour": False}
    ModelVersion.objects.update(manifest={"provenance": {"config": {**shape, "lr": 9}}})

    config = build_config(fruit_rows, find_start(fruit_rows, "serving"), RunOptions(preset=preset))

    assert (config.arch, config.channels, config.fit, config.flip) == ("mobilenetv3_small_050", 1, "letterbox", False)
    assert config.served_at == 128
    assert config.freeze == (preset == "quick")


def test_suggested_architectures_exist():
    from classifier_core.architectures import list_architectures, resolve_architecture

    assert {resolve_architecture(name) for name in ARCHITECTURES} <= set(list_architectures())


def test_run_waits_for_its_snapshot_and_fails_with_it(fruit_rows: RegisteredModel, rings: list[str]):
    snapshot = DatasetSnapshot.objects.create(model=fruit_rows, number=1)
    run = asked(snapshot)
    assert TrainingRun.objects.claim() is None

    assert snapshot.start()
    assert snapshot.fail("No photos.")
    tend()

    run.refresh_from_db()
    assert (run.status, run.error) == ("failed", "There is no snapshot to learn from: freezing it failed.")


def test_command_asks_for_a_run(snapshot: DatasetSnapshot, rings: list[str], capsys: Any):
    call_command("retrain", "fruit", "--start", "fruit:1", "--preset", "quick")

    run = TrainingRun.objects.get()
    assert (run.snapshot, run.preset, run.start_version.number) == (snapshot, "quick", 1)
    assert "waits for the train worker" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plum"], "There is no model named 'plum'"),
        (["fruit", "--snapshot", "7"], "no snapshot 7 that is ready"),
        (["fruit", "--start", "fruit:9"], "There is no version fruit:9"),
        (["fruit", "--start", "scratch"], "Name an architecture"),
        (["fruit", "--go-on", "3"], "fruit has no training run 3"),
    ],
)
def test_command_tells_what_is_wrong(snapshot: DatasetSnapshot, arguments: list[str], words: str):
    with pytest.raises(CommandError, match=words):
        call_command("retrain", *arguments)
    assert not TrainingRun.objects.exists()


# By itself


def test_nothing_begins_by_itself_unless_asked_for(fruit_rows: RegisteredModel):
    reviewed(photo_bytes(1))

    assert retrain_when_due(0) == []
    assert retrain_when_due(2) == []
    assert not DatasetSnapshot.objects.exists()


def test_enough_reviews_freeze_and_train_once(fruit_rows: RegisteredModel, rings: list[str]):
    for seed in range(3):
        reviewed(photo_bytes(seed))
    answered(photo_bytes(10))
    reviewed(photo_bytes(11), allowed=False)
    reject(reviewed(photo_bytes(12)))
    assert new_reviews(fruit_rows) == 3

    [run] = retrain_when_due(3)

    assert (run.snapshot.status, run.status, run.start_version) == ("pending", "pending", fruit_rows.desired_version())
    assert retrain_when_due(3) == []
    TrainingRun.objects.update(status="ready")
    assert retrain_when_due(3) == []  # since that snapshot nothing is new


def test_next_run_is_like_the_last_one(fruit_rows: RegisteredModel, rings: list[str]):
    snapshot = DatasetSnapshot.objects.create(
        model=fruit_rows, number=1, status="ready", options={"features": False, "until": "2020-01-01"}
    )
    ended_run(snapshot, preset="quick")
    reviewed(photo_bytes(1))

    [run] = retrain_when_due(1)

    assert run.preset == "quick"
    assert (run.snapshot.options["features"], run.snapshot.options["until"]) == (False, None)


# Cleaning


def candidate(run: TrainingRun, *, age: timedelta = LATER) -> ModelVersion:
    """The run's candidate, with files."""
    version = add_version(run.model, f"{run.pk:064d}")
    ModelVersion.objects.filter(pk=version.pk).update(created_at=now() - age)
    TrainingRun.objects.filter(pk=run.pk).update(candidate=version)
    artifact_store.folder_of(version.artifact_sha256).mkdir(parents=True)
    return version


def test_folders_of_the_newest_runs_stay(snapshot: DatasetSnapshot):
    runs = [ended_run(snapshot) for _ in range(KEPT_RUNS + 2)]
    promote(candidate(runs[0]), by=None, force=True, reason="Served once.")

    clean()

    assert [run.path.exists() for run in runs] == [True, False] + [True] * KEPT_RUNS
    runs[1].refresh_from_db()
    assert runs[1].cleaned_at
    assert runs[1].config


def test_stopped_runs_can_go_on_for_a_week(snapshot: DatasetSnapshot):
    old, new = (ended_run(snapshot, status="cancelled", finished_at=now() - timedelta(days=days)) for days in (8, 6))
    waiting = asked(snapshot)
    waiting.path.mkdir(parents=True)

    clean()

    assert [run.path.exists() for run in (old, new, waiting)] == [False, True, True]


def test_artifacts_of_forgotten_candidates_go_and_the_rows_say_so(snapshot: DatasetSnapshot):
    runs = [ended_run(snapshot) for _ in range(7)]
    forgotten, served, answering, young, start, on_trial, newest = map(candidate, runs)
    ModelVersion.objects.filter(pk=young.pk).update(created_at=now() - timedelta(days=29))
    promote(served, by=None, force=True, reason="Served once.")
    row = answered(photo_bytes(1))
    type(row).objects.filter(pk=row.pk).update(version=answering)
    asked(snapshot, start=f"version:{start.pk}")
    Trial.objects.create(model=on_trial.model, version=on_trial, kind="shadow", since=now(), position_at=now())

    assert any(str(forgotten) in words for words in clean())

    assert [one.version for one in RemovedArtifact.objects.all()] == [forgotten]
    kept = [forgotten, served, answering, young, start, on_trial, newest]
    there = [artifact_store.folder_of(version.artifact_sha256).exists() for version in kept]
    assert there == [False, True, True, True, True, True, True]
    with pytest.raises(PromotionRefused, match="was removed"):
        promote(forgotten, by=None, force=True, reason="All the same.")
    with pytest.raises(TrainingFailed, match="was removed"):
        asked(snapshot, start=f"version:{forgotten.pk}")
    assert clean() == []


def test_artifact_that_another_model_has_too_stays(snapshot: DatasetSnapshot):
    old, _ = (candidate(ended_run(snapshot)) for _ in range(2))
    other = RegisteredModel.objects.create(name="other")
    add_version(other, old.artifact_sha256)

    clean()

    assert old.is_removed
    assert artifact_store.folder_of(old.artifact_sha256).exists()


def test_report_shows_no_photos_once_one_was_erased(fruit_rows: RegisteredModel):
    from recognizer.training.asking import ask_for_snapshot
    from recognizer.training.options import SnapshotOptions

    rows = [reviewed(photo_bytes(seed)) for seed in range(8)]
    snapshot = ask_for_snapshot(fruit_rows, SnapshotOptions(features=False), by=None, rings=False)
    assert snapshot.start()
    freeze(snapshot)
    run = ended_run(snapshot)
    report = run.path / "report.html"
    report.write_text('<img src="data:image/jpeg;base64,AAAA+/=="><svg></svg>')
    clean()
    assert "image/jpeg" in report.read_text()

    erase(rows[0], erased_by="user:1")
    leftover = run.path.with_name(f"{run.folder}.photos")
    leftover.mkdir()
    clean()

    assert "image/jpeg" not in report.read_text()
    assert "<svg>" in report.read_text()
    assert not leftover.exists()


def test_cleaning_leaves_no_zip_and_no_label_of_what_is_gone(fruit_rows: RegisteredModel):
    ended, waiting = (
        ask_for_import(ContentFile(b"PK", "photos.zip"), fruit_rows, adds_classes=False, by=None) for _ in range(2)
    )
    PhotoImport.objects.filter(pk=ended.pk).update(status=Job.Status.FAILED, error="It killed three workers.")
    kept, gone = (reviewed(photo_bytes(seed)) for seed in (1, 2))
    for row in (kept, gone):
        words = {"what": PhotoDecision.What.TAKEN_OUT, "previous_label": "apple", "blob_sha256": row.image.blob_id}
        PhotoDecision.objects.create(model=fruit_rows, **words)
    erase(gone, erased_by="test")

    clean()

    assert [default_storage.exists(one.archive) for one in (ended, waiting)] == [False, True]
    assert sorted(PhotoDecision.objects.values_list("previous_label", flat=True)) == ["", "apple"]
    assert PhotoDecision.objects.taken_out(fruit_rows) == {kept.image.blob_id, gone.image.blob_id}
