"""What an error of the database means."""

from django.db import DatabaseError


def lacks_tables(error: DatabaseError) -> bool:
    """Whether nothing was ever migrated there, as SQLite and as PostgreSQL say it."""
    return "no such table" in str(error) or ("relation " in str(error) and " does not exist" in str(error))
