"""A group's commit is synced when others can write already, and before anybody is told."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError, connection

from recognizer.group_commit import GroupCommit
from recognizer.registry.models import RegisteredModel

FULL = 2  # of PRAGMA synchronous
pytestmark = pytest.mark.django_db(transaction=True)


def store(names: Sequence[str | None]) -> None:
    RegisteredModel.objects.bulk_create(RegisteredModel(name=name) for name in names)


def synchronous() -> int:
    return int(connection.connection.execute("PRAGMA synchronous").fetchone()[0])


def test_the_log_is_synced_after_the_commit_and_others_write_meanwhile(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def sync(descriptor: int) -> None:
        with sqlite3.connect(connection.settings_dict["NAME"], timeout=0) as other:
            other.execute("UPDATE registry_registeredmodel SET description = 'written meanwhile'")
        seen.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fdatasync", sync)
    GroupCommit(store).run("one")

    assert seen == [f"{connection.settings_dict['NAME']}-wal"]
    assert RegisteredModel.objects.get(name="one").description == "written meanwhile"


def test_whoever_waits_hears_that_the_disk_did_not_take_it(monkeypatch: pytest.MonkeyPatch):
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full_disk)

    with pytest.raises(OperationalError, match="No space left on device"):
        GroupCommit(store).run("one")
    assert synchronous() == FULL


def test_other_commits_of_the_connection_sync_by_themselves_again():
    GroupCommit(store).run("one")

    assert synchronous() == FULL


def test_also_after_a_transaction_that_failed():
    with pytest.raises(IntegrityError):
        GroupCommit(store).run(None)

    assert synchronous() == FULL
