"""Uploads of several threads share a transaction, never an error."""

import gc
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, transaction

from recognizer.group_commit import GroupCommit
from recognizer.registry.models import RegisteredModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


class Shelf:
    """Stores registered models by name; the first group waits until every thread has brought its name."""

    def __init__(self, names: Sequence[str], *, most: int = 16) -> None:
        self.groups: list[list[str]] = []
        self.commits = GroupCommit(self._store, most=most)
        self._all_are_here = threading.Event()
        self._names = names

    def _store(self, names: Sequence[str]) -> None:
        if not self.groups:
            self._all_are_here.wait(5)
        self.groups.append(list(names))
        with transaction.atomic(durable=True):
            RegisteredModel.objects.bulk_create(RegisteredModel(name=name) for name in names)
            if "" in names:
                raise ValueError("a model needs a name")

    def store_at_once(self) -> list[Exception | None]:
        """What became of each name, in order."""
        with ThreadPoolExecutor(len(self._names)) as threads:
            first = threads.submit(self._try, self._names[0])
            while not self.commits._turn.locked():
                pass
            others = [threads.submit(self._try, name) for name in self._names[1:]]
            while len(self.commits._waiting) < len(others):
                pass
            self._all_are_here.set()
            return [first.result(), *(other.result() for other in others)]

    def _try(self, name: str) -> Exception | None:
        try:
            self.commits.run(name)
        except ValueError as error:
            return error
        finally:
            connection.close()
        return None


def stored() -> set[str]:
    return set(RegisteredModel.objects.values_list("name", flat=True))


def test_what_comes_meanwhile_is_stored_together():
    shelf = Shelf(["a", "b", "c", "d"])

    assert shelf.store_at_once() == [None] * 4
    assert [sorted(group) for group in shelf.groups] == [["a"], ["b", "c", "d"]]
    assert stored() == {"a", "b", "c", "d"}


def test_no_group_is_larger_than_it_may_be():
    shelf = Shelf(["a", "b", "c", "d", "e", "f"], most=2)

    assert shelf.store_at_once() == [None] * 6
    assert max(len(group) for group in shelf.groups) == 2
    assert stored() == {"a", "b", "c", "d", "e", "f"}


def test_one_that_fails_leaves_the_others_stored():
    shelf = Shelf(["a", "b", "", "d"])

    errors = shelf.store_at_once()

    assert [str(error) if error else None for error in errors] == [None, None, "a model needs a name", None]
    assert stored() == {"a", "b", "d"}


def test_broken_database_is_found_out_once_for_all():
    attempts = []

    def store(names: Sequence[str]) -> None:
        attempts.append(names)
        time.sleep(0.2)
        raise OperationalError("gone")

    commits = GroupCommit(store, most=2)
    with ThreadPoolExecutor(8) as threads:
        errors = list(threads.map(lambda name: error_of(commits, name), "abcdefgh"))

    assert [str(error) for error in errors] == ["gone"] * 8
    assert len(attempts) < 4  # the first one, and those that came after it


def test_interrupted_leader_tells_nobody_that_it_stored():
    def store(names: Sequence[str]) -> None:
        raise SystemExit

    commits = GroupCommit(store, most=16)
    with ThreadPoolExecutor(4) as threads:
        errors = list(threads.map(lambda name: error_of(commits, name), "abcd"))

    assert [type(error) for error in errors] == [SystemExit] * 4


def test_what_failed_is_not_kept():
    class Photo: ...

    def store(photos: Sequence[Photo]) -> None:
        raise ValueError("refused")

    photo = Photo()
    kept = weakref.ref(photo)
    gc.disable()
    try:
        error_of(GroupCommit(store, most=16), photo)
        del photo
        assert kept() is None
    finally:
        gc.enable()


def error_of(commits: GroupCommit, rows: object) -> BaseException | None:
    try:
        commits.run(rows)
    except BaseException as error:  # noqa: BLE001 - SystemExit too
        return type(error)(*error.args)
    finally:
        connection.close()
    return None


def test_one_alone_needs_nobody():
    shelf = Shelf(["a"])
    shelf._all_are_here.set()

    assert shelf.store_at_once() == [None]
    assert stored() == {"a"}
