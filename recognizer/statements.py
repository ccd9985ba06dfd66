"""The few statements that every upload and answer runs, their SQL made once; the ORM takes 0.3-1 ms to make it anew."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, BooleanField, CharField, Field, FloatField, IntegerField, Model, TextField

Prepare = Callable[[Any, BaseDatabaseWrapper], Any]
PLAIN = (BooleanField, CharField, FloatField, IntegerField, TextField)


class Insert:
    """INSERT of whole rows of one model whose keys are made before they are stored."""

    def __init__(self, model: type[Model], *, skip_existing: bool = False) -> None:
        self._model = model
        self._ending = " ON CONFLICT DO NOTHING" if skip_existing else ""

    def run(self, *rows: Model) -> int:
        """Store the rows; the count of those that are new. Raises IntegrityError unless existing ones are skipped."""
        if not rows:
            return 0
        database = connections[DEFAULT_DB_ALIAS]
        values = [[prepare(getattr(row, name), database) for name, prepare in self._values] for row in rows]
        with database.cursor() as cursor:
            cursor.executemany(self._sql, values)
            return int(cursor.rowcount)

    @cached_property
    def _fields(self) -> list[Field[Any, Any]]:
        return [field for field in self._model._meta.concrete_fields if not isinstance(field, AutoField)]

    @cached_property
    def _values(self) -> list[tuple[str, Prepare]]:
        return [(field.attname, _prepare(field)) for field in self._fields]

    @cached_property
    def _sql(self) -> str:
        columns, places = _columns(self._fields), ", ".join(["%s"] * len(self._fields))
        return f"INSERT INTO {_table(self._model)} ({', '.join(columns)}) VALUES ({places}){self._ending}"  # noqa: S608


class Update:
    """UPDATE of some fields of one row, as long as others are what the caller knows or requires."""

    def __init__(
        self, model: type[Model], *, fields: Sequence[str], unchanged: Sequence[str], required: Mapping[str, Any]
    ) -> None:
        self._model, self._names, self._required = model, fields, required
        self._unchanged = [model._meta.pk.name, *unchanged]

    def run(self, row: Model, **values: Any) -> bool:
        """Store these values, and the object's own of the other fields, in the row and then in the object.

        False: the row is not as it should be any more; both stay as they are.
        """
        known = {field.name: getattr(row, field.attname) for field in (*self._fields, *self._fence)}
        new = known | {name: _plain(value) for name, value in values.items()}
        old = known | dict(self._required)
        database = connections[DEFAULT_DB_ALIAS]
        parameters = [prepare(new[name], database) for name, prepare in self._new]
        parameters += [prepare(old[name], database) for name, prepare in self._old]
        with database.cursor() as cursor:
            cursor.execute(self._sql, parameters)
            if cursor.rowcount != 1:
                return False
        for name, value in values.items():
            setattr(row, name, value)
        return True

    @cached_property
    def _fields(self) -> list[Field[Any, Any]]:
        return _named_fields(self._model, self._names)

    @cached_property
    def _fence(self) -> list[Field[Any, Any]]:
        return _named_fields(self._model, [*self._unchanged, *self._required])

    @cached_property
    def _new(self) -> list[tuple[str, Prepare]]:
        return [(field.name, _prepare(field)) for field in self._fields]

    @cached_property
    def _old(self) -> list[tuple[str, Prepare]]:
        return [(field.name, _prepare(field)) for field in self._fence]

    @cached_property
    def _sql(self) -> str:
        values = ", ".join(f"{column} = %s" for column in _columns(self._fields))
        fence = " AND ".join(f"{column} = %s" for column in _columns(self._fence))
        return f"UPDATE {_table(self._model)} SET {values} WHERE {fence}"  # noqa: S608


def _named_fields(model: type[Model], names: Iterable[str]) -> list[Field[Any, Any]]:
    fields = {field.name: field for field in model._meta.concrete_fields}
    return [fields[name] for name in names]


def _plain(value: Any) -> Any:
    return value.pk if isinstance(value, Model) else value


def _prepare(field: Field[Any, Any]) -> Prepare:
    """What makes a value ready for the database. The drivers take our numbers and texts as they are."""
    return _as_it_is if isinstance(field, PLAIN) else field.get_db_prep_save


def _as_it_is(value: Any, _database: BaseDatabaseWrapper) -> Any:
    return value


def _columns(fields: Sequence[Field[Any, Any]]) -> list[str]:
    return [connection.ops.quote_name(str(field.column)) for field in fields]


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
