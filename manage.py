#!/usr/bin/env python
"""Run a Django command of Recognizer, for example `python manage.py models list`."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError as error:
        if not _lacks_tables(error):
            raise
        sys.exit("The database has no tables yet. Run `make serve` once, or `python manage.py migrate`, and try again.")


def _lacks_tables(error: Exception) -> bool:
    """As SQLite and as PostgreSQL say it."""
    return "no such table" in str(error) or ("relation " in str(error) and " does not exist" in str(error))


if __name__ == "__main__":
    main()
