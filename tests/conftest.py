"""Fixtures for all tests. A unit test has a media folder of its own; a service test has the real thing."""

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connections
from pytest_django import Settings

from recognizer.predictions import describe, intake
from tests.postgres import postgres_server
from tests.service import RunningService, prepare_data, running_service

SLOW_TO_START = {"prepared_data", "postgres"}  # services of one's own
ABOUT_ROWS = {"predictions", "registry"}  # folders whose tests run on PostgreSQL too


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around `-m`, which looks at markers, and pytest-django, which sorts
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Keep in one process what shares something costly; mark the tests about rows; begin with what takes longest."""
    _mark(items)
    yield
    # The longest queue first; then what mostly waits, because at the end the others would have nothing to do meanwhile.
    items.sort(key=lambda item: (not _needs(item, {"service"}), not _needs(item, SLOW_TO_START)))


def _mark(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in ABOUT_ROWS and _is_about_rows(item):
            item.add_marker(pytest.mark.postgres)
        if _needs(item, {"service"}):
            item.add_marker(pytest.mark.xdist_group("service"))
        elif not (_stands_alone(item) or item.get_closest_marker("xdist_group")):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}/{item.path.stem}"))


def _needs(item: pytest.Item, fixtures: set[str]) -> bool:
    return not fixtures.isdisjoint(getattr(item, "fixturenames", ()))


def _stands_alone(item: pytest.Item) -> bool:
    """Whether it takes so long that any process that is free should run it."""
    return _needs(item, SLOW_TO_START) or bool(item.get_closest_marker("slow"))


def _is_about_rows(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("django_db")) and not item.get_closest_marker("files")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """A file as in real life, each process its own: an SQLite in memory knows neither WAL nor waiting for a lock."""
    if connections["default"].vendor == "sqlite":
        connections["default"].settings_dict["TEST"]["NAME"] = django_settings.RECOGNIZER_DATA_DIR / "test.sqlite3"
    else:
        request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> Path:
    """An empty media folder for each test."""
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.RECOGNIZER_ARTIFACT_DIR = tmp_path / "media" / "artifacts"
    return tmp_path / "media"


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    """Half a second of hashing for each user that a test makes protects nobody."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _forget_versions() -> None:
    """Each test has a database of its own, in which the same id is another version."""
    describe._version.cache_clear()
    describe._names.clear()
    intake._serving.clear()
    intake._room.left = 0


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: beside other tests, two that wait for each other take ten times as long."""
    import torch  # half a second that most tests do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def prepared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after the first start: tables, admin, starter models. Copy it, never change it.

    Half a minute of work, so the processes of one test run share it.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (shared / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "prepared").exists():
            prepare_data(own / "preparing")
            (own / "preparing").rename(shared / "prepared")
    return shared / "prepared"


@pytest.fixture(scope="session")
def service(prepared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One real service for the whole run. A test that breaks something permanently takes `start_service`."""
    with running_service(tmp_path_factory.mktemp("service"), prepared=prepared_data) as running:
        yield running


@pytest.fixture
def start_service(prepared_data: Path, tmp_path: Path) -> Iterator[Callable[..., RunningService]]:
    """Start a real service that belongs to this test; its environment is the keyword arguments."""
    names = (tmp_path / f"data {number}" for number in itertools.count(1))  # with a space, as home folders have
    with ExitStack() as stack:
        yield lambda **extra: stack.enter_context(running_service(next(names), prepared=prepared_data, **extra))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DATABASE_URL of a real, empty PostgreSQL server."""
    with postgres_server() as url:
        yield url
