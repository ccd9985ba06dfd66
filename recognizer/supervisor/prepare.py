"""Everything the database needs before the service starts, in one Django process: tables, first admin, starter models.

Prints one line of JSON for the supervisor on standard output; what people should read goes to standard error.
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Sequence
from io import StringIO

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection


def migrate() -> None:
    """Bring the tables up to date. Costs a look at the database when they are."""
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        print("  Preparing the database ...", file=sys.stderr)
        call_command("migrate", interactive=False, verbosity=0)


def create_first_admin() -> dict[str, str]:
    """Make an administrator where there is none: gives the name, and the password if we chose it."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    if users.filter(is_superuser=True).exists():
        return {}
    name = os.environ.get("DJANGO_SUPERUSER_USERNAME", "").strip() or "admin"
    given = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
    password = given or secrets.token_urlsafe(12)
    email = os.environ.get("DJANGO_SUPERUSER_EMAIL", "").strip()
    users.create_superuser(username=name, email=email, password=password)
    return {"admin": name} if given else {"admin": name, "password": password}


def main(given: Sequence[str] | None = None) -> int:
    """Prepare the database and print the first admin, if one was made."""
    parser = argparse.ArgumentParser(description="Tables, first administrator, starter models.")
    parser.add_argument("--workers-here", action="store_true", help="refuse to start without the device they shall use")
    are_workers_here = parser.parse_args(given).workers_here
    try:
        django.setup()
        if are_workers_here:  # a device that is not there is said now, not in a log
            call_command("models", "hardware", stdout=StringIO())
        migrate()
        call_command("models", "starters", stdout=sys.stderr)
        print(json.dumps(create_first_admin()))  # last: a password that we chose is told once
    except (CommandError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1
    except DatabaseError as error:
        print(f"The database does not answer: {error}Check DATABASE_URL and the data folder.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
