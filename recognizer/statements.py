"""The few statements that every upload and answer runs, their SQL made once; the ORM takes 0.3-1 ms to make it anew."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import AutoField, Field, Model


class Insert:
    """INSERT of whole rows of one model whose keys are made before they are stored."""

    def __init__(self, model: type[Model], *, skip_existing: bool = False) -> None:
        self._model = model
        self._ending = " ON CONFLICT DO NOTHING" if skip_existing else ""

    def run(self, *rows: Model) -> int:
        """Store the rows; the count of those that are new. Raises IntegrityError unless existing ones are skipped."""
        return _execute_many(self._sql, self._fields, rows)

    @cached_property
    def _fields(self) -> list[Field[Any, Any]]:
        return [field for field in self._model._meta.concrete_fields if not isinstance(field, AutoField)]

    @cached_property
    def _sql(self) -> str:
        columns, places = _columns(self._fields), ", ".join(["%s"] * len(self._fields))
        return f"INSERT INTO {_table(self._model)} ({', '.join(columns)}) VALUES ({places}){self._ending}"  # noqa: S608


class Update:
    """UPDATE of some fields of one row, named by its key and what else must still be true."""

    def __init__(self, model: type[Model], *, fields: Sequence[str], unchanged: Sequence[str], condition: str) -> None:
        self._model = model
        self._names, self._unchanged, self._condition = fields, [model._meta.pk.name, *unchanged], condition

    def run(self, row: Model) -> bool:
        """Store the fields as the object has them. False: the row is not as named any more, and stays as it is."""
        return _execute_many(self._sql, self._fields, [row]) == 1

    @cached_property
    def _fields(self) -> list[Field[Any, Any]]:
        fields = {field.name: field for field in self._model._meta.concrete_fields}
        return [fields[name] for name in (*self._names, *self._unchanged)]

    @cached_property
    def _sql(self) -> str:
        places = [f"{column} = %s" for column in _columns(self._fields)]
        values, named = ", ".join(places[: len(self._names)]), " AND ".join(places[len(self._names) :])
        return f"UPDATE {_table(self._model)} SET {values} WHERE {named} AND {self._condition}"  # noqa: S608


def _execute_many(sql: str, fields: Sequence[Field[Any, Any]], rows: Sequence[Model]) -> int:
    values = [[field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields] for row in rows]
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)
        return int(cursor.rowcount)


def _columns(fields: Sequence[Field[Any, Any]]) -> list[str]:
    return [connection.ops.quote_name(str(field.column)) for field in fields]


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
