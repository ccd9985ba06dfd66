"""Training runs in the admin: asked for, watched, stopped; who may do what, and what a report may show."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from recognizer.predictions.erasure import erase
from recognizer.registry.models import LearnedPhoto, RegisteredModel, RemovedArtifact
from recognizer.registry.promotion import promote
from recognizer.training import bell
from recognizer.training.models import DatasetSnapshot
from recognizer.training.run_models import TrainingRun
from tests.admin.rows import said, staff
from tests.registry_rows import registered_version
from tests.training.run_rows import CURVES, asked, ended_run, ready_snapshot, write_report
from tests.training.snapshot_rows import frozen, photo_bytes, reviewed

RUNS = "/admin/training/trainingrun/"
VIEW, ADD, CHANGE = (f"training.{verb}_trainingrun" for verb in ("view", "add", "change"))
PHOTO = '<img src="data:image/jpeg;base64,AAAA">'
FORM = {"start": "serving", "preset": "quick", "architecture": "", "epochs": "", "image_size": ""}


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(bell, "ring", heard.append)
    return heard


@pytest.fixture
def snapshot(fruit_rows: RegisteredModel) -> DatasetSnapshot:
    return ready_snapshot(fruit_rows)


def going(snapshot: DatasetSnapshot) -> TrainingRun:
    """A run that a worker has."""
    run = asked(snapshot)
    assert run.start()
    assert run.report("Epoch 2 of 2: step 1 of 9", log_tail="<b>log</b>", eta_seconds=200)
    assert run.record(CURVES)
    return run


def page(client: Client, run: TrainingRun) -> str:
    response = client.get(f"{RUNS}{run.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def test_form_asks_for_a_run(client: Client, snapshot: DatasetSnapshot):
    user = staff(client, VIEW, ADD)

    response = client.post(f"{RUNS}add/", {**FORM, "snapshot": snapshot.pk}, follow=True)

    run = TrainingRun.objects.get()
    assert (run.snapshot, run.preset, run.created_by, run.status) == (snapshot, "quick", user, "pending")
    assert run.start_version == snapshot.model.desired_version()
    assert "It waits for the train worker." in response.content.decode()


def test_snapshot_s_page_leads_to_the_form(client: Client, snapshot: DatasetSnapshot):
    staff(client, ADD, "training.view_datasetsnapshot")
    address = f"{RUNS}add/?snapshot={snapshot.pk}"

    assert address in client.get(f"/admin/training/datasetsnapshot/{snapshot.pk}/change/").content.decode()
    assert f'<option value="{snapshot.pk}" selected>' in client.get(address).content.decode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": "scratch"}, "Name an architecture"),
        ({"start": "scratch", "architecture": "resnet18"}, "nothing to keep frozen"),
        ({"start": "version:999"}, "Select a valid choice"),
        ({"start": "file:../../secret"}, "Select a valid choice"),
        ({"preset": "slow"}, "Select a valid choice"),
        ({"snapshot": 999_999}, "Select a valid choice"),
        ({"snapshot": "x"}, "Select a valid choice"),
        ({"epochs": 0}, "greater than or equal to 1"),
    ],
)
def test_senseless_form_is_told_and_stores_nothing(
    client: Client, snapshot: DatasetSnapshot, fields: dict[str, Any], words: str
):
    staff(client, ADD)

    response = client.post(f"{RUNS}add/", {**FORM, "snapshot": snapshot.pk, **fields})

    assert words in response.content.decode()
    assert not TrainingRun.objects.exists()


def test_page_shows_how_it_goes(client: Client, snapshot: DatasetSnapshot):
    staff(client, VIEW)
    text = page(client, going(snapshot))

    for words in ("Epoch 2 of 2: step 1 of 9", "about 3 minutes left", "2 of 2", "75.0%", "&lt;b&gt;log&lt;/b&gt;"):
        assert words in text
    assert 'd="M0.0 0.0L600.0 100.0h0.1"' in text  # the loss halves
    assert "recognizer/run.js" in text
    assert "Cancel the run" not in text


def test_script_s_door_tells_the_same(client: Client, snapshot: DatasetSnapshot):
    staff(client, VIEW)

    told = client.get(f"{RUNS}{going(snapshot).pk}/progress/").json()

    assert (told["status"], told["epoch"], told["eta"]) == ("running", 2, "about 3 minutes left")
    assert told["attempts"] == 1
    assert told["charts"][0]["lines"][0]["path"] == "M0.0 0.0L600.0 100.0h0.1"
    assert told["curves"] == CURVES


def test_run_is_cancelled_and_goes_on(client: Client, snapshot: DatasetSnapshot, rings: list[str]):
    staff(client, VIEW, CHANGE)
    run = asked(snapshot)

    first = client.post(f"{RUNS}{run.pk}/cancel/", follow=True)
    second = client.post(f"{RUNS}{run.pk}/cancel/", follow=True)
    third = client.post(f"{RUNS}{run.pk}/go-on/", follow=True)

    assert "It stops within seconds" in said(first)[0]
    assert said(second) == ["It had ended already."]
    assert "It goes on" in said(third)[0]
    assert TrainingRun.objects.get().status == "pending"


def test_run_that_is_being_stopped_is_not_cancelled_twice(client: Client, snapshot: DatasetSnapshot):
    staff(client, VIEW, CHANGE)
    run = going(snapshot)
    assert "Cancel the run" in page(client, run)

    run.cancel()

    text = page(client, run)
    assert "It is being stopped." in text
    assert "minutes left" not in text
    assert "Cancel the run" not in text


@pytest.mark.parametrize("door", ["cancel", "go-on"])
def test_state_changes_need_the_permission_and_a_post(client: Client, snapshot: DatasetSnapshot, door: str):
    run = asked(snapshot)
    address = f"{RUNS}{run.pk}/{door}/"

    assert client.post(address).status_code == 302  # to the login
    staff(client, VIEW, ADD)
    assert client.post(address).status_code == 403
    assert client.get(address).status_code == 405
    assert TrainingRun.objects.get().status == "pending"


def test_cancel_from_another_site_is_refused(snapshot: DatasetSnapshot):
    client = Client(enforce_csrf_checks=True)
    staff(client, VIEW, CHANGE)
    run = asked(snapshot)

    assert client.post(f"{RUNS}{run.pk}/cancel/").status_code == 403
    assert TrainingRun.objects.get().status == "pending"


def test_nobody_looks_without_the_permission(client: Client, snapshot: DatasetSnapshot):
    run = ended_run(snapshot)
    doors = ["change/", "progress/", "report/"]

    staff(client, "training.view_datasetsnapshot")
    assert [client.get(f"{RUNS}{run.pk}/{door}").status_code for door in doors] == [403] * 3
    assert client.get(f"{RUNS}add/").status_code == 403


def test_invented_runs_are_not_there(client: Client, db: None):
    staff(client, VIEW, CHANGE)

    assert [client.get(f"{RUNS}999999/{door}/").status_code for door in ("progress", "report")] == [404] * 2
    assert [client.post(f"{RUNS}999999/{door}/").status_code for door in ("cancel", "go-on")] == [404] * 2


def test_run_is_never_edited_or_deleted(client: Client, snapshot: DatasetSnapshot):
    staff(client, VIEW, ADD, CHANGE, "training.delete_trainingrun")
    run = ended_run(snapshot)

    assert client.post(f"{RUNS}{run.pk}/change/", {"status": "ready"}).status_code == 403
    assert client.post(f"{RUNS}{run.pk}/delete/", {"post": "yes"}).status_code == 403


# Reports


def report_of(client: Client, run: TrainingRun) -> Any:
    return client.get(f"{RUNS}{run.pk}/report/")


def test_report_runs_nothing_and_is_kept_nowhere(client: Client, snapshot: DatasetSnapshot):
    staff(client, VIEW, "predictions.view_prediction")
    run = ended_run(snapshot)
    write_report(run.path, f"{PHOTO}<script>alert(1)</script>")

    response = report_of(client, run)

    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-scripts" not in policy
    assert "no-store" in response.headers["Cache-Control"]
    assert PHOTO in response.content.decode()
    assert "Open the report" in page(client, run)


def test_photos_of_a_report_are_for_those_who_may_see_them(client: Client, snapshot: DatasetSnapshot):
    staff(client, VIEW)
    run = ended_run(snapshot)
    write_report(run.path, PHOTO)

    assert "image/jpeg" not in report_of(client, run).content.decode()


def test_report_shows_no_photos_once_one_was_erased(client: Client, fruit_rows: RegisteredModel):
    staff(client, VIEW, "predictions.view_prediction")
    rows = [reviewed(photo_bytes(seed)) for seed in range(6)]
    run = ended_run(frozen(fruit_rows))
    write_report(run.path, PHOTO)
    assert "image/jpeg" in report_of(client, run).content.decode()

    erase(rows[0], erased_by="user:1")

    assert "image/jpeg" not in report_of(client, run).content.decode()


def test_run_without_a_report_says_so(client: Client, snapshot: DatasetSnapshot):
    staff(client, VIEW)
    run = asked(snapshot)

    assert report_of(client, run).status_code == 404
    assert "Open the report" not in page(client, run)


# What hangs on a run


def test_version_tells_what_was_erased_and_removed(client: Client, fruit_rows: RegisteredModel):
    staff(client, "registry.view_modelversion")
    version = fruit_rows.desired_version()
    address = f"/admin/registry/modelversion/{version.pk}/change/"
    LearnedPhoto.objects.bulk_create(LearnedPhoto(version=version, blob_sha256=f"{n:064d}") for n in range(3))
    assert "erased since" not in client.get(address).content.decode()

    LearnedPhoto.mark_erased(f"{1:064d}")
    RemovedArtifact.objects.create(version=version, reason="Old.")

    text = client.get(address).content.decode()
    assert "1 photos it learned from were erased since" in text
    assert "its artifact was removed" in text


def test_list_needs_as_many_queries_for_many_runs(client: Client, snapshot: DatasetSnapshot, tmp_path: Path):
    staff(client, VIEW)
    counts = []
    for _ in range(2):
        for _ in range(3):
            ended_run(snapshot, candidate=snapshot.model.desired_version())
        client.get(RUNS)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(RUNS).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


@pytest.mark.parametrize("right", ["registry.add_promotion", "registry.view_modelversion"])
def test_run_s_page_offers_nothing_that_is_refused(client: Client, snapshot: DatasetSnapshot, right: str):
    version = registered_version("veg")
    run = ended_run(ready_snapshot(version.model), candidate=version)
    staff(client, VIEW, right)

    shown = page(client, run)

    assert "Promote veg v1" not in shown
    link = f"/admin/registry/modelversion/{version.pk}/change/"
    assert (f'href="{link}"' in shown) == (client.get(link).status_code == 200)


def test_first_candidate_is_promoted_from_its_run(admin_client: Client, snapshot: DatasetSnapshot):
    version = registered_version("veg")
    run = ended_run(ready_snapshot(version.model), candidate=version)

    assert "Promote veg v1 (first)" in page(admin_client, run)

    promote(version, by=None)
    assert "(first)" not in page(admin_client, run)


def test_form_starts_from_another_model_where_nothing_serves(admin_client: Client, snapshot: DatasetSnapshot):
    snapshot = ready_snapshot(registered_version("veg").model)
    fruit = RegisteredModel.objects.get(name="fruit").desired_version()

    shown = admin_client.get(f"{RUNS}add/?snapshot={snapshot.pk}").content.decode()

    assert f'<option value="version:{fruit.pk}" selected>' in shown
    assert '<option value="quick" selected>' in shown


def test_unknown_architecture_is_said_on_its_field(admin_client: Client, snapshot: DatasetSnapshot):
    asked_for = {**FORM, "snapshot": snapshot.pk, "architecture": "mobilnet_v2"}

    form = admin_client.post(f"{RUNS}add/", asked_for).context["adminform"].form

    assert "Did you mean" in form.errors["architecture"][0]
    assert not TrainingRun.objects.exists()
