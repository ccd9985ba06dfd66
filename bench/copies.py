"""Many rows out of some: INSERT ... SELECT, a million rows in a minute or two where the ORM takes ten."""

from collections.abc import Callable

from django.db import connection, transaction
from django.db.models import AutoField, DateTimeField, Field, Model, UUIDField

from recognizer.predictions.models import Feedback, Prediction, Review, UploadedImage

MODELS: tuple[type[Model], ...] = (UploadedImage, Prediction, Review, Feedback)  # what points comes after its target
SHIFT_SECONDS = 31  # a copy lies so long before its original, and so on
NUMBER_DIGITS = 3  # hexadecimal, at the end of an id
CACHE_KIB = 1_000_000


def copy_rows(num_copies: int) -> None:
    """Add copies of every upload, recognition, review and claim, each with ids and a time of its own."""
    if not 0 < num_copies < 16**NUMBER_DIGITS:
        return
    if connection.vendor == "sqlite":
        connection.cursor().execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    with transaction.atomic(), connection.cursor() as cursor:
        for model in MODELS:
            cursor.execute(_copying(model), [num_copies])


def _copying(model: type[Model]) -> str:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    values = ", ".join(_value(field) for field in fields)
    numbers = "WITH RECURSIVE copy(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copy WHERE number < %s)"
    table = f'"{model._meta.db_table}"'
    chosen = f"{numbers} SELECT {values} FROM {table} row CROSS JOIN copy"
    return f"INSERT INTO {table} ({columns}) {chosen}"


def _value(field: Field) -> str:  # type: ignore[type-arg]
    column = f'row."{field.column}"'
    if _is_id(field):
        return _ID_OF_COPY[connection.vendor](column)
    return _MOMENT_OF_COPY[connection.vendor](column) if isinstance(field, DateTimeField) else column


def _is_id(field: Field) -> bool:  # type: ignore[type-arg]
    """Whether it names a copied row: its own key, or that of one it points to."""
    return (field.primary_key and isinstance(field, UUIDField)) or field.related_model in MODELS


Expression = Callable[[str], str]
_DIGITS = "replace({}::text, '-', '')"  # of a uuid, which SQLite stores so


def _id_of_copy(digits: str) -> str:
    """Its version is 8 where the original's is 4, and its end is the copy's number; spread as evenly as before."""
    return f"substr({digits}, 1, 12) || '8' || substr({digits}, 14, {19 - NUMBER_DIGITS})"


_ID_OF_COPY: dict[str, Expression] = {
    "sqlite": lambda column: f"{_id_of_copy(column)} || printf('%%0{NUMBER_DIGITS}x', copy.number)",
    "postgresql": lambda column: (
        f"({_id_of_copy(_DIGITS.format(column))} || lpad(to_hex(copy.number), {NUMBER_DIGITS}, '0'))::uuid"
    ),
}
_MOMENT_OF_COPY: dict[str, Expression] = {
    "sqlite": lambda column: (
        f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', {column}, '-' || ({SHIFT_SECONDS} * copy.number) || ' seconds')"
    ),
    "postgresql": lambda column: f"{column} - copy.number * interval '{SHIFT_SECONDS} seconds'",
}
