"""What a power cut may take: nothing that the web process or a command has committed."""

import pytest
from django.db import connection

from recognizer.predictions import tasks

NORMAL, FULL = 1, 2  # https://www.sqlite.org/pragma.html#pragma_synchronous


@pytest.mark.django_db
def test_commits_are_synced_but_for_those_of_workers():
    fresh = connection.copy()
    try:
        assert synchronous(fresh) == FULL

        tasks._relax_sync(None, fresh)
        assert synchronous(fresh) == NORMAL
    finally:
        fresh.close()


def synchronous(database) -> int:
    with database.cursor() as cursor:
        return int(cursor.execute("PRAGMA synchronous").fetchone()[0])
