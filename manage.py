#!/usr/bin/env python
"""Run a Django command of Recognizer, for example `python manage.py models list`."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")
    try:
        run()
    except KeyboardInterrupt:  # while something is imported; later on, commands say more
        sys.stderr.write("Stopped.\n")
        sys.exit(130)


def run() -> None:
    """The command, with what its errors mean."""
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError as error:
        from recognizer.database import lacks_tables

        if not lacks_tables(error):
            raise
        sys.exit("The database has no tables yet. Run `make serve` once, or `python manage.py migrate`, and try again.")


if __name__ == "__main__":
    main()
