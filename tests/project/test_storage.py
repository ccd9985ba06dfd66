"""Files are whole or absent, also on a full disk; leftovers are swept."""

import errno
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.test import Client

from classifier_core import durable
from recognizer.predictions import blobs, renditions
from recognizer.predictions.models import Blob, IdempotencyKey, Owner, Prediction, UploadedImage
from recognizer.predictions.sweeping import KEY_LIFETIME, NUM_PARTS, ORPHAN_AGE, remove_orphan, sweep_part
from recognizer.registry.models import RegisteredModel
from tests.recognition import blob_files, picture, post, upload, work


class Torn(ContentFile):
    """Content whose second half cannot be read."""

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.EIO, "torn")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_saved_file_is_whole(media: Path):
    default_storage.save("a/b/name", ContentFile(b"bytes"))

    assert (media / "a" / "b" / "name").read_bytes() == b"bytes"
    assert len(files(media)) == 1


def test_torn_write_leaves_nothing(media: Path):
    with pytest.raises(OSError, match="torn"):
        default_storage.save("a/name", Torn(b""))

    assert files(media) == []


def test_torn_rewrite_leaves_the_old_file(media: Path):
    default_storage.save("name", ContentFile(b"old"))
    with pytest.raises(OSError, match="torn"):
        default_storage.save("name", Torn(b""))

    assert (media / "name").read_bytes() == b"old"
    assert len(files(media)) == 1


def test_same_name_is_one_file(media: Path):
    assert default_storage.save("name", ContentFile(b"1")) == default_storage.save("name", ContentFile(b"1")) == "name"
    assert len(files(media)) == 1


def test_file_that_another_upload_just_named_is_made_durable(media: Path, monkeypatch: pytest.MonkeyPatch):
    """Who made it has renamed it and not synced the folder: its name may not survive a power cut."""
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync", synced.append)
    sha256 = blobs.write(b"same")
    synced.clear()

    blobs.write(b"same")

    assert synced == [(media / blobs.name_of(sha256)).parent]


@pytest.mark.parametrize("name", ["../out", "/etc/out"])
def test_name_stays_inside(media: Path, name: str):
    with pytest.raises(Exception, match=r"traversal|outside|absolute|Invalid|Detected"):
        default_storage.save(name, ContentFile(b"x"))


@pytest.fixture
def small_disk(settings, tmp_path: Path) -> Iterator[Path]:
    """A media folder on a disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.getuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("a small disk can be mounted by root only")
    settings.MEDIA_ROOT = disk
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.django_db
def test_full_disk_is_507_and_leaves_nothing(client: Client, fruit: RegisteredModel, small_disk: Path):
    reply = post(client, picture() + bytes(2_000_000))

    assert reply.status_code == 507
    assert reply["Content-Type"] == "application/problem+json"
    assert not Prediction.objects.exists()
    assert files(small_disk) == []
    assert post(client, picture(1)).status_code == 202


@pytest.mark.django_db
def test_picture_is_shown_on_a_full_disk(client: Client, fruit: RegisteredModel, small_disk: Path):
    sent = post(client).json()
    work()
    with pytest.raises(OSError, match="space"):
        (small_disk / "filler").write_bytes(bytes(2_000_000))

    assert client.get(sent["image"]["url"]).status_code == 200
    assert not [path for path in files(small_disk) if path.suffix == ".part"]


# Leftovers


def sweep_all() -> None:
    for part in range(NUM_PARTS):
        sweep_part(part)


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def orphan(media: Path) -> Path:
    """A blob without a row, written long ago."""
    path = media / blobs.name_of(blobs.write(b"nobody's"))
    age(path, ORPHAN_AGE.total_seconds() + 60)
    return path


@pytest.mark.django_db
def test_old_orphan_is_swept(orphan: Path):
    sweep_all()

    assert not orphan.exists()


@pytest.mark.django_db
def test_young_orphan_stays(orphan: Path):
    age(orphan, ORPHAN_AGE.total_seconds() - 60)

    sweep_all()

    assert orphan.exists()


@pytest.mark.django_db
def test_named_blob_stays_however_old(fruit: RegisteredModel, media: Path):
    upload(owner=Owner(visitor=uuid.uuid4()))
    [path] = blob_files(media)
    age(path, 10 * ORPHAN_AGE.total_seconds())

    sweep_all()

    assert path.exists()


@pytest.mark.django_db
def test_half_written_file_is_swept(media: Path):
    blobs.write(b"x")
    part = next(path.parent for path in blob_files(media)) / ".name.abc.part"
    part.write_bytes(b"half")
    age(part, ORPHAN_AGE.total_seconds() + 60)

    sweep_all()

    assert not part.exists()


@pytest.mark.django_db
def test_picture_of_a_vanished_blob_is_swept(media: Path):
    name = renditions.name_of("a" * 64, "thumbnail")
    default_storage.save(name, ContentFile(b"pixels"))
    age(media / name, ORPHAN_AGE.total_seconds() + 60)

    sweep_all()

    assert not (media / name).exists()


@pytest.mark.django_db
def test_healthy_files_cost_one_query_for_many(fruit: RegisteredModel, django_assert_max_num_queries: Any):
    for _ in range(5):
        upload(owner=Owner(visitor=uuid.uuid4()))

    with django_assert_max_num_queries(5):  # the keys are deleted in up to three, the last reviews are looked at
        sweep_part(int(Blob.objects.get().sha256[:2], 16))


@pytest.mark.django_db
def test_old_keys_are_swept(fruit: RegisteredModel):
    for key in ("old", "new"):
        upload(owner=Owner(visitor=uuid.uuid4()), idempotency_key=key)
    old = IdempotencyKey.objects.get(key="old")
    IdempotencyKey.objects.filter(pk=old.pk).update(created_at=old.created_at - KEY_LIFETIME)

    sweep_all()

    assert [row.key for row in IdempotencyKey.objects.all()] == ["new"]


@pytest.mark.postgres
def test_sweep_waits_for_an_upload_of_the_same_bytes(transactional_db: None, orphan: Path):
    # The upload found the old file and has inserted its row, but not committed it yet.
    inserted, swept = threading.Event(), threading.Event()

    def sweep() -> None:
        inserted.wait()
        remove_orphan(blobs.name_of(orphan.name))
        swept.set()
        connection.close()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    with transaction.atomic():
        Blob.objects.create(sha256=orphan.name, num_bytes=8, format="JPEG", width=1, height=1)
        inserted.set()
        assert not swept.wait(0.5)
    sweeper.join()

    assert orphan.exists()
    assert Blob.objects.count() == 1
    assert not UploadedImage.objects.exists()
