"""A database that does not answer is a 503 that says so, never a stack trace."""

import json
import sys
from pathlib import Path

from tests.project.test_environment import run

_GET = """
import json
import django; django.setup()
from django.test import Client
reply = Client(headers={"host": "localhost"}).get("/api/models/")
print(json.dumps([reply.status_code, reply["Content-Type"], reply.get("Retry-After"), reply.json()["type"]]))
"""


def test_database_that_is_down_is_503(tmp_path: Path):
    url = "postgres://nobody@127.0.0.1:1/none"  # nothing listens on port 1
    done = run([sys.executable, "-c", _GET], tmp_path, DATABASE_URL=url)

    status, kind, retry_after, problem = json.loads(done.stdout.splitlines()[-1])

    assert (status, kind, problem) == (503, "application/problem+json", "urn:recognizer:problem:no-database")
    assert int(retry_after) > 0
