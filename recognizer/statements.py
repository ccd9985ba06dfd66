"""The few rows and statements that every upload and answer makes, all that stays the same made once.

The ORM takes 0.3-1 ms to make a statement anew, and a seventh of an upload's processor time to make its three rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    AutoField,
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
    TextField,
)
from django.db.models.base import ModelState

M = TypeVar("M", bound=Model)
Prepare = Callable[[Any, BaseDatabaseWrapper], Any]
PLAIN = (BooleanField, CharField, FloatField, IntegerField, TextField)


class NewRow(Generic[M]):
    """Makes what the model's constructor makes of the values of some fields, without its layers and its signals."""

    def __init__(self, model: type[M]) -> None:
        self._model = model

    def __call__(self, **values: Any) -> M:
        """A row that is not stored yet. Values go by column: `user_id`, not `user`."""
        row = self._model.__new__(self._model)
        made = {name: make() for name, make in self._makers.items() if name not in values}
        row.__dict__.update(self._constants, **made, **values)
        row._state = ModelState()
        return row

    @cached_property
    def _makers(self) -> dict[str, Callable[[], Any]]:
        fields = self._model._meta.concrete_fields
        return {field.attname: field.default for field in fields if callable(field.default) and field.has_default()}

    @cached_property
    def _constants(self) -> dict[str, Any]:
        fields = self._model._meta.concrete_fields
        return {field.attname: field.get_default() for field in fields if field.attname not in self._makers}


class Insert:
    """INSERT of rows of one model whose keys are made before they are stored.

    With `given`, the rows are read for these fields alone. All others get the model's defaults, the same ones each
    time: name a field whose default is a moment or a key.
    """

    def __init__(self, model: type[Model], *, given: Sequence[str] = (), skip_existing: bool = False) -> None:
        self._model, self._given = model, given
        self._ending = " ON CONFLICT DO NOTHING" if skip_existing else ""

    def run(self, *rows: Model) -> int:
        """Store the rows; the count of those that are new. Raises IntegrityError unless existing ones are skipped."""
        if not rows:
            return 0
        database = connections[DEFAULT_DB_ALIAS]
        with database.cursor() as cursor:
            cursor.executemany(self._sql, [[*self.read(row, database), *self._defaults] for row in rows])
            return int(cursor.rowcount)

    @cached_property
    def read(self) -> "_Reader":
        """Gives the values of a row that are not the same for all rows, ready for the database."""
        return _Reader(self._given_fields)

    @property
    def num_given(self) -> int:
        """How many values `read` gives."""
        return len(self._given_fields)

    def sql_in_trigger(self, names: Sequence[str]) -> str:
        """The INSERT for a trigger: of what NEW has by these names, as `read` gives it; not where the first is NULL."""
        quote = connection.schema_editor().quote_value
        values = ", ".join([*(f"NEW.{name}" for name in names), *map(quote, self._defaults)])
        return f"{self._opening} SELECT {values} WHERE NEW.{names[0]} IS NOT NULL{self._ending};"

    @cached_property
    def _fields(self) -> list[Field[Any, Any]]:
        return [field for field in self._model._meta.concrete_fields if not isinstance(field, AutoField)]

    @cached_property
    def _given_fields(self) -> list[Field[Any, Any]]:
        return _named_fields(self._model, self._given) if self._given else self._fields

    @cached_property
    def _default_fields(self) -> list[Field[Any, Any]]:
        return [field for field in self._fields if field not in self._given_fields]

    @cached_property
    def _defaults(self) -> list[Any]:
        return [_prepare(field)(field.get_default(), connection) for field in self._default_fields]

    @cached_property
    def _columns(self) -> list[str]:
        return _columns([*self._given_fields, *self._default_fields])

    @cached_property
    def _opening(self) -> str:
        return f"INSERT INTO {_table(self._model)} ({', '.join(self._columns)})"

    @cached_property
    def _sql(self) -> str:
        return f"{self._opening} VALUES ({_places(len(self._columns))}){self._ending}"


class InsertTogether:
    """Several INSERTs as one statement, on SQLite: a transaction of its own, with almost no Python in it.

    SQLite has one lock for all who write. A thread that makes statement after statement holds it while it waits, before
    each, for the other threads to give Python's own lock (GIL) back: beside one that computes, 27 ms instead of 6 for
    an upload. So a temporary view takes the values of all rows, and a trigger on it stores them. View and trigger stay
    with the connection: over this one, no migration changes their tables afterwards.
    """

    SIZES = (1, 4)  # in sets; each connection keeps its statements: one of 16 sets took a quarter of a MiB

    def __init__(self, view: str, *inserts: Insert, unless: Callable[[str], bool]) -> None:
        """`unless` is asked about the first value of each set, with SQLite's lock held."""
        self._view, self._inserts, self._unless = view, inserts, unless

    def run(self, sets: Sequence[Sequence[Model | None]]) -> None:
        """Store up to four sets of rows, one row for each INSERT in its order, None for no such row; or none of them.

        The first value of each row is its key, or none of it would be stored. Raises IntegrityError where a row exists
        and is not to be skipped, or `unless` says so.
        """
        database = connections[DEFAULT_DB_ALIAS]
        num_sets = next(size for size in self.SIZES if size >= len(sets))
        values = [value for rows in sets for value in self._values(rows, database)]
        values += [None] * (num_sets - len(sets)) * self._num_values
        try:
            self._execute(database, self._sql(num_sets), values)
        except OperationalError as error:
            if self._view not in str(error):
                raise
            self._prepare(database)  # once for each connection
            self._execute(database, self._sql(num_sets), values)

    def _execute(self, database: BaseDatabaseWrapper, sql: str, values: Sequence[Any] | None = None) -> None:
        with database.cursor() as cursor:
            cursor.execute(sql, values)

    def _values(self, rows: Sequence[Model | None], database: BaseDatabaseWrapper) -> Iterator[Any]:
        for insert, row in zip(self._inserts, rows, strict=True):
            yield from insert.read(row, database) if row else [None] * insert.num_given

    def _sql(self, num_sets: int) -> str:
        return f"INSERT INTO {self._view} VALUES {', '.join([f'({_places(self._num_values)})'] * num_sets)}"  # noqa: S608

    def _prepare(self, database: BaseDatabaseWrapper) -> None:
        columns = ", ".join(f"NULL AS {name}" for names in self._names for name in names)
        inserts = zip(self._inserts, self._names, strict=True)
        body = " ".join(insert.sql_in_trigger(names) for insert, names in inserts)
        first = f"NEW.{self._names[0][0]}"
        refuse = f"SELECT RAISE(ABORT, 'not now') WHERE {first} IS NOT NULL AND unless_{self._view}({first});"
        database.connection.create_function(f"unless_{self._view}", 1, self._unless)
        self._execute(database, f"DROP VIEW IF EXISTS temp.{self._view}")  # what an interrupted attempt has left
        self._execute(database, f"CREATE TEMP VIEW {self._view} AS SELECT {columns}")
        trigger = f"CREATE TEMP TRIGGER store_{self._view} INSTEAD OF INSERT ON {self._view}"
        self._execute(database, f"{trigger} BEGIN {refuse} {body} END")

    @cached_property
    def _names(self) -> list[list[str]]:
        return [
            [f"row{place}_{column}" for column in range(insert.num_given)] for place, insert in enumerate(self._inserts)
        ]

    @cached_property
    def _num_values(self) -> int:
        return sum(len(names) for names in self._names)


class Update:
    """UPDATE of some fields of a row, as long as others are what the caller knows or requires."""

    def __init__(
        self, model: type[Model], *, fields: Sequence[str], unchanged: Sequence[str], required: Mapping[str, Any]
    ) -> None:
        self._model, self._names, self._required = model, fields, required
        self._unchanged = [model._meta.pk.name, *unchanged]

    def run(self, row: Model, **values: Any) -> bool:
        """Store these values, and the object's own of the other fields, in the row and then in the object.

        Values go by column: `version_id`, not `version`. False: the row is not as it should be any more; both stay as
        they are.
        """
        return self.run_all([row], **values) == 1

    def run_all(self, rows: Sequence[Model], **values: Any) -> int:
        """The same values for several rows; how many took them. Unless all did, no object changes: roll back."""
        if unknown := values.keys() - self._by_column.keys():
            raise TypeError(f"{sorted(unknown)} are none of the columns that this changes")
        database = connections[DEFAULT_DB_ALIAS]
        new = values | {name: self._prepares[name](values[name], database) for name in values.keys() & self._prepares}
        with database.cursor() as cursor:
            cursor.executemany(self._sql, [self._parameters(row, new, database) for row in rows])
            num_changed = int(cursor.rowcount)
        if num_changed == len(rows):
            for row in rows:
                for name, value in values.items():
                    setattr(row, name, value)
        return num_changed

    def _parameters(self, row: Model, new: Mapping[str, Any], database: BaseDatabaseWrapper) -> list[Any]:
        is_whole = len(new) == len(self._by_column)
        own = {} if is_whole else dict(zip(self._by_column, self._read(row, database), strict=True))
        values = [new[name] if name in new else own[name] for name in self._by_column]
        return [*values, *self._kept(row, database), *self._demanded]

    @cached_property
    def _fields(self) -> list[Field[Any, Any]]:
        return _named_fields(self._model, self._names)

    @cached_property
    def _by_column(self) -> dict[str, Prepare]:
        return {field.attname: _prepare(field) for field in self._fields}

    @cached_property
    def _prepares(self) -> dict[str, Prepare]:
        return {name: prepare for name, prepare in self._by_column.items() if prepare is not _as_it_is}

    @cached_property
    def _read(self) -> "_Reader":
        return _Reader(self._fields)

    @cached_property
    def _kept(self) -> "_Reader":
        return _Reader(_named_fields(self._model, self._unchanged))

    @cached_property
    def _demanded(self) -> list[Any]:
        fields = _named_fields(self._model, self._required)
        return [_prepare(field)(self._required[field.name], connection) for field in fields]

    @cached_property
    def _sql(self) -> str:
        values = ", ".join(f"{column} = %s" for column in _columns(self._fields))
        fence_fields = _named_fields(self._model, [*self._unchanged, *self._required])
        fence = " AND ".join(f"{column} = %s" for column in _columns(fence_fields))
        return f"UPDATE {_table(self._model)} SET {values} WHERE {fence}"  # noqa: S608


class _Reader:
    """Reads several fields of a row, ready for the database."""

    def __init__(self, fields: Sequence[Field[Any, Any]]) -> None:
        # One more than there are: of a single name it would give the value itself.
        self._get = attrgetter(*(field.attname for field in fields), "pk")
        prepares = [_prepare(field) for field in fields]
        self._prepares = [(place, prepare) for place, prepare in enumerate(prepares) if prepare is not _as_it_is]

    def __call__(self, row: Model, database: BaseDatabaseWrapper) -> list[Any]:
        values = [*self._get(row)[:-1]]
        for place, prepare in self._prepares:
            values[place] = prepare(values[place], database)
        return values


def _named_fields(model: type[Model], names: Iterable[str]) -> list[Field[Any, Any]]:
    fields = {field.name: field for field in model._meta.concrete_fields}
    return [fields[name] for name in names]


def _prepare(field: Field[Any, Any]) -> Prepare:
    """What makes a value ready for the database. The drivers take our numbers and texts as they are."""
    if isinstance(field, ForeignKey):
        return _prepare(field.target_field)
    if isinstance(field, DateTimeField):
        return _moment
    return _as_it_is if isinstance(field, PLAIN) else field.get_db_prep_save


def _moment(value: datetime | None, database: BaseDatabaseWrapper) -> Any:
    return database.ops.adapt_datetimefield_value(value)


def _as_it_is(value: Any, _database: BaseDatabaseWrapper) -> Any:
    return value


def _columns(fields: Sequence[Field[Any, Any]]) -> list[str]:
    return [connection.ops.quote_name(str(field.column)) for field in fields]


def _places(number: int) -> str:
    return ", ".join(["%s"] * number)


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
