"""Where an answer comes from, and what served when."""

import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import localtime, now

from recognizer.predictions.erasure import erase
from recognizer.predictions.models import Prediction
from recognizer.registry.models import ModelVersion, Promotion, RegisteredModel
from recognizer.registry.promotion import promote
from recognizer.training.models import DatasetSnapshot
from recognizer.training.origins import origin_of
from recognizer.training.run_models import TrainingRun
from tests.admin.rows import failed, labelled_version, staff
from tests.registry_rows import registered_version
from tests.training.snapshot_rows import answered, frozen, photo_bytes, reviewed, with_base_photos

pytestmark = pytest.mark.django_db
SERVED = "/admin/registry/promotion/served/"
ALL = (
    "predictions.view_prediction",
    "registry.view_promotion",
    "registry.view_modelversion",
    "training.view_datasetsnapshot",
)


def address(row: Prediction) -> str:
    return f"/admin/training/datasetsnapshot/origin/{row.pk}/"


def page(client: Client, row: Prediction) -> str:
    response = client.get(address(row))
    assert response.status_code == 200
    return response.content.decode()


def trained_on(snapshot: DatasetSnapshot, *, by: User | None = None) -> ModelVersion:
    """A version whose artifact says that it learned from this snapshot."""
    number = snapshot.model.versions.count() + 1
    provenance = {"source": "training run 3", "training_run": 3, "snapshot_sha256": snapshot.content_sha256}
    return ModelVersion.objects.create(
        model=snapshot.model,
        number=number,
        artifact_sha256=f"{number:064x}",
        architecture="mobilenet_v2",
        num_classes=8,
        manifest={"provenance": provenance},
        source="training run 3",
        created_by=by,
    )


@pytest.fixture
def snapshot(fruit_rows: RegisteredModel, tmp_path: Path) -> DatasetSnapshot:
    with_base_photos(fruit_rows, tmp_path / "fruit", each=6)
    return frozen(fruit_rows)


@pytest.fixture
def row(snapshot: DatasetSnapshot, django_user_model: type[User]) -> Prediction:
    """An answer of a version that learned from the snapshot, and that somebody has promoted."""
    boss = django_user_model.objects.create(username="boss", is_superuser=True)
    promote(trained_on(snapshot), by=boss, force=True, reason="It knows more apples.")
    return answered(photo_bytes(7000))


def test_page_tells_the_whole_way(client: Client, row: Prediction, snapshot: DatasetSnapshot):
    staff(client, *ALL)

    shown = page(client, row)

    for words in ("fruit v2", "training run 3", "fruit snapshot 1", "boss", "It knows more apples.", "Overruled: "):
        assert words in shown
    assert snapshot.content_sha256 in shown
    photos = snapshot.items.filter(label="apple").exclude(part="test")
    assert all(f"items/{item.pk}/thumbnail/" in shown for item in photos)
    assert not any(f"items/{item.pk}/thumbnail/" in shown for item in snapshot.items.filter(label="banana"))
    assert "should have served" not in shown


def test_origin_counts_photos_of_the_class(row: Prediction, snapshot: DatasetSnapshot):
    found = origin_of(row)

    assert found.lesson.num_photos == 6
    assert found.lesson.own_part == ""
    assert found.run is None  # the artifact names run 3 of wherever it comes from
    assert found.is_as_promoted


def test_only_the_run_that_made_the_version_is_linked(client: Client, row: Prediction, snapshot: DatasetSnapshot):
    other = TrainingRun.objects.create(model=row.model, snapshot=snapshot, number=1, folder="1")
    provenance = {**row.version.manifest["provenance"], "training_run": other.pk}
    ModelVersion.objects.filter(pk=row.version_id).update(manifest={"provenance": provenance})
    staff(client, *ALL, "training.view_trainingrun")
    assert "/trainingrun/" not in page(client, row).split("Made by")[1].split("</dd>")[0]

    own = TrainingRun.objects.create(model=row.model, snapshot=snapshot, number=2, folder="2", candidate=row.version)

    assert f"/admin/training/trainingrun/{own.pk}/change/" in page(client, row)


def test_a_run_is_linked_for_those_who_may_see_it(client: Client, row: Prediction, snapshot: DatasetSnapshot):
    TrainingRun.objects.create(model=row.model, snapshot=snapshot, number=1, folder="1", candidate=row.version)
    staff(client, *ALL)

    assert "/trainingrun/" not in page(client, row)


def test_worker_that_had_not_followed_yet_is_told(client: Client, row: Prediction, snapshot: DatasetSnapshot):
    staff(client, *ALL)
    Promotion.objects.create(
        model=row.model, version=trained_on(snapshot), kind="promotion", gate="-", created_at=now()
    )
    Prediction.objects.filter(pk=row.pk).update(finished_at=now() + timedelta(seconds=1))

    shown = page(client, row)

    assert "fruit v3 should have served" in shown


def test_what_was_promoted_later_is_told_too(client: Client, row: Prediction, snapshot: DatasetSnapshot):
    staff(client, *ALL)
    Prediction.objects.filter(pk=row.pk).update(finished_at=now())
    Promotion.objects.create(
        model=row.model,
        version=trained_on(snapshot),
        kind="promotion",
        gate="-",
        created_at=now() + timedelta(seconds=1),
    )

    assert "Then came fruit v3" in page(client, row)


def test_picture_that_the_model_learned_is_told(client: Client, fruit_rows: RegisteredModel):
    staff(client, *ALL)
    reviewed(photo_bytes(5000))
    promote(trained_on(frozen(fruit_rows)), by=None, force=True, reason="test")

    assert "This very picture is in the snapshot" in page(client, answered(photo_bytes(5000)))


def test_imported_version_says_what_is_unknown(client: Client, fruit_rows: RegisteredModel):
    staff(client, *ALL)

    assert "The artifact names no snapshot of this server" in page(client, answered(photo_bytes(1)))


def test_snapshot_of_another_model_is_none_of_ours(snapshot: DatasetSnapshot):
    stranger = registered_version("birds")
    ModelVersion.objects.filter(pk=stranger.pk).update(
        manifest={"provenance": {"snapshot_sha256": snapshot.content_sha256, "training_run": "x"}}
    )
    row = Prediction(model=stranger.model, version=ModelVersion.objects.get(pk=stranger.pk), label="apple")

    assert origin_of(row).lesson is None
    assert origin_of(row).run is None


@pytest.mark.parametrize("manifest", [{}, {"provenance": None}, {"provenance": ["x"]}, {"provenance": {}}])
def test_artifact_that_says_nothing_is_no_failure(manifest: dict[str, object]):
    version = registered_version("birds")
    version.manifest = manifest

    assert origin_of(Prediction(model=version.model, version=version)).lesson is None


def test_failure_has_no_origin(client: Client):
    staff(client, *ALL)

    assert "No version has answered this one." in page(client, failed(labelled_version().model))


def test_erased_photos_are_gone_from_the_page(client: Client, fruit_rows: RegisteredModel):
    staff(client, *ALL)
    learned = [reviewed(photo_bytes(seed)) for seed in range(5000, 5003)]
    snapshot = frozen(fruit_rows)
    promote(trained_on(snapshot), by=None, force=True, reason="test")
    row = answered(photo_bytes(7000))

    erase(learned[0], erased_by="visitor")

    assert "1 of them erased since" in page(client, row)
    assert len(origin_of(row).lesson.photos) <= 2


def test_each_part_asks_for_its_own_permission(client: Client, row: Prediction, snapshot: DatasetSnapshot):
    assert client.get(address(row)).status_code == 302
    user = staff(client, "registry.view_promotion", "training.view_datasetsnapshot")
    assert client.get(address(row)).status_code == 403

    user.user_permissions.clear()
    client.logout()
    user.delete()
    staff(client, "predictions.view_prediction")
    shown = page(client, row)

    assert "fruit v2" in shown
    for hidden in ("boss", "It knows more apples.", snapshot.content_sha256, "/thumbnail/ items"):
        assert hidden not in shown


def test_forged_id_is_not_there(client: Client, row: Prediction):
    staff(client, *ALL)

    assert client.get(f"/admin/training/datasetsnapshot/origin/{uuid.uuid4()}/").status_code == 404
    assert client.get("/admin/training/datasetsnapshot/origin/1/").status_code in (302, 404)


def test_page_needs_few_queries(client: Client, row: Prediction):
    staff(client, *ALL)
    page(client, row)

    with CaptureQueriesContext(connection) as captured:
        page(client, row)

    assert len(captured) < 25


def served(client: Client, **question: object) -> str:
    response = client.get(SERVED, question)
    assert response.status_code == 200
    return response.content.decode()


def test_page_says_what_served_at_a_moment(client: Client):
    staff(client, "registry.view_promotion")
    first, second = labelled_version(), registered_version("fruit", number=2)
    for days, version in ((10, first), (2, second)):
        Promotion.objects.create(
            model=first.model,
            version=version,
            kind="first",
            gate=f"gate {days}",
            created_at=now() - timedelta(days=days),
        )

    def at(days: float) -> str:
        return served(client, model="fruit", at=localtime(now() - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M"))

    assert "gate 10" in at(5)
    assert "gate 2" in at(1)
    assert "gate 2" in served(client)
    assert "Nothing served yet" in at(20)
    assert "That is in the future." in at(-20)


@pytest.mark.parametrize("address", [SERVED, "/admin/registry/promotion/", "/admin/registry/promotion/{}/change/"])
def test_gate_names_labels_to_its_reader(client: Client, address: str):
    staff(client, "registry.view_promotion")
    version = labelled_version()
    row = version.model.promotions.create(version=version, kind="forced", gate="Overruled: {banana} falls.")

    for language, name in (("en", "Banana"), ("zh-hans", "香蕉")):
        shown = client.get(address.format(row.pk), headers={"Accept-Language": language}).content.decode()
        assert f"Overruled: {name} falls." in shown


@pytest.mark.parametrize(
    "question", [{"at": "x"}, {"at": "9999-99-99T99:99"}, {"model": "no such"}, {"at": "0001-01-01T00:00"}]
)
def test_senseless_moment_is_told(client: Client, question: dict[str, str]):
    staff(client, "registry.view_promotion")
    promote(labelled_version(), by=None)

    served(client, **{"model": "fruit", **question})


def test_without_a_model_there_is_a_way_on(client: Client):
    staff(client, "registry.view_promotion")

    assert "Import one." in served(client)


def test_reasons_are_shown_as_text(client: Client):
    staff(client, "registry.view_promotion")
    promote(labelled_version(), by=None, reason="<script>alert(1)</script>")

    assert "<script>alert" not in served(client)


def test_who_may_not_see_promotions_sees_nothing(client: Client):
    assert client.get(SERVED).status_code == 302
    staff(client, "registry.view_registeredmodel")

    assert client.get(SERVED).status_code == 403
