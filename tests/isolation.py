"""Loaded before Django reads its settings: a test run has its own data folder and none of the caller's settings."""

import os
import shutil
import tempfile

import pytest

KEPT = {"RECOGNIZER_PHOTOS"}
DATABASE_URL = os.environ.pop("RECOGNIZER_TEST_DATABASE_URL", "")  # set where tests run once more on PostgreSQL

for name in [name for name in os.environ if name.startswith(("RECOGNIZER_", "DJANGO_SUPERUSER_")) and name not in KEPT]:
    del os.environ[name]
for name in ("DATABASE_URL", "PORT", "LOG_LEVEL"):
    os.environ.pop(name, None)
if DATABASE_URL:
    os.environ["DATABASE_URL"] = DATABASE_URL
DATA_DIR = os.environ["RECOGNIZER_DATA_DIR"] = tempfile.mkdtemp(prefix="recognizer-test-")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(DATA_DIR, ignore_errors=True)
