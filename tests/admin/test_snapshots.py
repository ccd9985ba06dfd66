"""Base photos and snapshots in the admin: who may do what, what a page says, and that it stays fast."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from recognizer.registry.models import Label, RegisteredModel
from recognizer.training.models import BasePhoto, DatasetSnapshot, PhotoImport, SnapshotItem
from recognizer.training.tasks import freeze_pending, import_pending
from tests.admin.rows import said, staff
from tests.photo_folders import write_folder
from tests.training.snapshot_rows import frozen, photo_bytes, reviewed, with_base_photos

SNAPSHOTS, PHOTOS, IMPORTS = (f"/admin/training/{name}/" for name in ("datasetsnapshot", "basephoto", "photoimport"))
VIEW = "training.view_datasetsnapshot"


def page(client: Client, snapshot: DatasetSnapshot) -> str:
    response = client.get(f"{SNAPSHOTS}{snapshot.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def zipped(folder: Path) -> SimpleUploadedFile:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    return SimpleUploadedFile("fruit.zip", file.getvalue())


def test_page_says_what_is_in_and_why_not(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    staff(client, VIEW)
    with_base_photos(fruit_rows, tmp_path / "fruit", each=10)
    first = frozen(fruit_rows)
    reviewed(photo_bytes(5000), allowed=False)
    reviewed(photo_bytes(5001), "kiwi")

    text = page(client, frozen(fruit_rows))

    for words in ("The owner did not allow training.", "snapshot 1", "Kiwi has 1 photos in train", "Base photos"):
        assert words in text
    assert '<th scope="row">Kiwi</th>' in text
    assert f"{SNAPSHOTS}{first.pk}/change/" in text


def test_names_are_shown_as_text(client: Client, fruit_rows: RegisteredModel):
    staff(client, VIEW)
    Label.objects.filter(key="apple").update(names={"en": "<script>alert(1)</script>"})
    reviewed(photo_bytes(1))

    assert "<script>alert" not in page(client, frozen(fruit_rows))


def test_page_needs_as_many_queries_for_many_photos(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    staff(client, VIEW)
    with_base_photos(fruit_rows, tmp_path / "few", each=3)
    few = frozen(fruit_rows)
    for seed in range(5000, 5030):
        reviewed(photo_bytes(seed))
    many = frozen(fruit_rows)
    page(client, few)

    counts = []
    for snapshot in (few, many):
        with CaptureQueriesContext(connection) as queries:
            page(client, snapshot)
        counts.append(len(queries))

    assert counts[1] <= counts[0] + 1  # the previous snapshot


def test_form_asks_and_a_worker_freezes(client: Client, fruit_rows: RegisteredModel, tmp_path: Path, monkeypatch: Any):
    user = staff(client, VIEW, "training.add_datasetsnapshot")
    monkeypatch.setattr("recognizer.training.snapshots.Looking", _without_network())
    with_base_photos(fruit_rows, tmp_path / "fruit", each=10)
    asked = {"model": fruit_rows.pk, "base_photos": "on", "reviews": "on", "max_per_class": 8}
    form = client.get(f"{SNAPSHOTS}add/").content.decode()
    assert re.search(r"<button[^>]*>\s*Freeze\s*</button>", form)
    assert "Save and add another" not in form

    waiting = client.post(f"{SNAPSHOTS}add/", asked, follow=True).content.decode()
    freeze_pending()

    snapshot = DatasetSnapshot.objects.get()
    assert "It waits for a worker." in waiting
    assert (snapshot.status, snapshot.num_photos, snapshot.created_by) == ("ready", 16, user)
    assert "data-waiting" not in page(client, snapshot)


def _without_network() -> Any:
    from functools import partial

    from recognizer.training.looking import Looking

    return lambda features: partial(Looking, features=False)()


def test_senseless_form_is_told_and_stores_nothing(client: Client, fruit_rows: RegisteredModel):
    staff(client, VIEW, "training.add_datasetsnapshot")

    text = client.post(f"{SNAPSHOTS}add/", {"model": fruit_rows.pk}).content.decode()

    assert "Choose base photos, reviewed recognitions, or both." in text
    assert not DatasetSnapshot.objects.exists()


def test_who_may_only_look_cannot_freeze_or_import(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    staff(client, VIEW, "training.view_photoimport", "training.view_basephoto")
    with_base_photos(fruit_rows, tmp_path / "fruit", each=2)
    snapshot = frozen(fruit_rows)
    photo = BasePhoto.objects.first()

    assert client.get(f"{SNAPSHOTS}add/").status_code == 403
    assert client.post(f"{SNAPSHOTS}add/", {"model": fruit_rows.pk, "base_photos": "on"}).status_code == 403
    assert client.post(f"{IMPORTS}add/", {"model": fruit_rows.pk}).status_code == 403
    assert client.post(f"{PHOTOS}{photo.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{SNAPSHOTS}{snapshot.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{SNAPSHOTS}{snapshot.pk}/change/", {"num_photos": 1}).status_code == 403


def test_pictures_are_for_those_who_may_see_them(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=2)
    reviewed(photo_bytes(5000))
    snapshot = frozen(fruit_rows)
    base, upload = (snapshot.items.filter(source=source).first() for source in SnapshotItem.Source)
    addresses = [f"{SNAPSHOTS}items/{item.pk}/thumbnail/" for item in (base, upload)]

    assert [client.get(address).status_code for address in addresses] == [302, 302]
    staff(client, VIEW)
    assert [client.get(address).status_code for address in addresses] == [200, 403]
    assert addresses[1] not in page(client, snapshot)
    assert client.get(f"{PHOTOS}{BasePhoto.objects.first().pk}/thumbnail/").status_code == 403
    assert client.get(f"{SNAPSHOTS}items/999999/thumbnail/").status_code == 404


def test_zip_is_imported_by_a_worker(client: Client, fruit_rows: RegisteredModel, tmp_path: Path, media: Path):
    staff(client, "training.view_photoimport", "training.add_photoimport", "registry.add_label")
    folder = write_folder(tmp_path / "data", {"apple": 2, "plum": 3})
    asked = {"model": fruit_rows.pk, "archive": zipped(folder), "adds_classes": "on"}

    assert client.post(f"{IMPORTS}add/", asked).status_code == 302
    assert "data-waiting" in client.get(IMPORTS).content.decode()
    waiting = client.get(f"{IMPORTS}{PhotoImport.objects.get().pk}/change/").content.decode()
    assert all(words in waiting for words in ("data-waiting", "waiting.js", "It waits for a worker.", "not known yet"))
    import_pending()

    row = PhotoImport.objects.get()
    assert (row.status, row.num_added, row.error) == ("ready", 5, "")
    assert BasePhoto.objects.filter(label__key="plum").count() == 3
    assert not list((media / "imports").iterdir())
    done = client.get(IMPORTS).content.decode()
    assert "5 photos are new" in done
    assert "data-waiting" not in done


def test_files_of_a_folder_without_their_folders_are_refused(client: Client, fruit_rows: RegisteredModel):
    staff(client, "training.view_photoimport", "training.add_photoimport")
    shown = client.get(f"{IMPORTS}add/").content.decode()
    folder = next(tag for tag in re.findall("<input[^>]*>", shown) if "webkitdirectory" in tag)
    assert " disabled" in folder  # until the script packs what is chosen

    sent = client.post(
        f"{IMPORTS}add/", {"model": fruit_rows.pk, "folder": SimpleUploadedFile("a.jpg", photo_bytes(1))}
    )

    assert "Choose a zip. A folder is packed as one where the browser runs scripts." in sent.content.decode()
    assert not PhotoImport.objects.exists()


def test_new_classes_need_the_permission(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    staff(client, "training.view_photoimport", "training.add_photoimport")
    folder = write_folder(tmp_path / "data", {"plum": 1})

    client.post(f"{IMPORTS}add/", {"model": fruit_rows.pk, "archive": zipped(folder), "adds_classes": "on"})
    import_pending()

    row = PhotoImport.objects.get()
    assert row.status == "failed"
    assert row.error.startswith("fruit has no class 'plum'.")
    assert not BasePhoto.objects.exists()


@pytest.mark.parametrize("raw", [b"text", b"PK\x03\x04 broken"])
def test_what_is_no_zip_ends_in_a_sentence(client: Client, fruit_rows: RegisteredModel, raw: bytes):
    staff(client, "training.view_photoimport", "training.add_photoimport")

    response = client.post(
        f"{IMPORTS}add/", {"model": fruit_rows.pk, "archive": SimpleUploadedFile("a.zip", raw)}, follow=True
    )
    import_pending()

    row = PhotoImport.objects.first()
    assert "This is not a zip." in response.content.decode() if row is None else row.status == "failed"
    assert not BasePhoto.objects.exists()


def test_base_photo_is_taken_out_with_its_bytes(
    client: Client, fruit_rows: RegisteredModel, tmp_path: Path, media: Path
):
    staff(client, "training.view_basephoto", "training.delete_basephoto")
    with_base_photos(fruit_rows, tmp_path / "fruit", each=1)
    blob = BasePhoto.objects.first().blob_id
    chosen = {"action": "delete_selected", "_selected_action": [BasePhoto.objects.first().pk], "post": "yes"}

    assert said(client.post(PHOTOS, chosen, follow=True)) == ["Successfully deleted 1 base photo."]
    assert not (media / "blobs" / blob[:2] / blob).exists()


def test_bytes_that_a_snapshot_needs_stay(fruit_rows: RegisteredModel, tmp_path: Path, media: Path):
    from recognizer.training.base_photos import remove_base_photo

    with_base_photos(fruit_rows, tmp_path / "fruit", each=2)
    snapshot = frozen(fruit_rows)
    photo = BasePhoto.objects.first()

    remove_base_photo(photo)

    assert (media / "blobs" / photo.blob_id[:2] / photo.blob_id).exists()
    assert snapshot.items.filter(blob=photo.blob_id).exists()


def test_names_follow_the_readers_language(client: Client, fruit_rows: RegisteredModel, tmp_path: Path):
    with_base_photos(fruit_rows, tmp_path / "fruit", each=6)
    first = frozen(fruit_rows)
    apple = BasePhoto.objects.filter(label__key="apple").first()
    BasePhoto.objects.filter(pk=apple.pk).update(label=Label.objects.get(key="banana"))
    staff(client, "training.view_datasetsnapshot")
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-CN"

    shown, then = page(client, first), page(client, frozen(fruit_rows))

    assert shown.count('<th scope="row">苹果</th>') == 2  # of the classes, and of what is new
    assert "苹果 has 4 photos in train; fewer than 20 say little." in shown
    assert "apple" not in shown
    assert "relabelled: 苹果 → 香蕉" in then
