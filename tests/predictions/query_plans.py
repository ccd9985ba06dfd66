"""How the database would find the rows of a statement: its own plan, read for scans of the tables that grow."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

GROWING = {"predictions_prediction", "predictions_uploadedimage", "predictions_blob", "predictions_review"}

SMALL = {"prediction_leased"}  # indexes of the few rows that run just now
JOINED = {"predictions_uploadedimage", "predictions_blob"}  # of ten rows, PostgreSQL may begin a join at either end


@dataclass(frozen=True)
class Statement:
    """SQL as it was sent."""

    sql: str
    params: Sequence[Any] | None

    @property
    def is_about_growing(self) -> bool:
        return self.sql.startswith(("SELECT", "UPDATE", "DELETE")) and any(table in self.sql for table in GROWING)


@contextmanager
def sent_statements() -> Iterator[list[Statement]]:
    """Every statement that the block sends."""
    sent: list[Statement] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        sent.append(Statement(sql.strip(), params[0] if many else params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield sent


def full_scans(statement: Statement) -> list[str]:
    """What reads a growing table from end to end: the table itself, or an index without a limit to it."""
    return {"sqlite": _sqlite_scans, "postgresql": _postgres_scans}[connection.vendor](statement)


def sqlite_steps(statement: Statement) -> list[str]:
    """What SQLite would do, in its words."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.params)
        return [row[3] for row in cursor.fetchall()]


def _sqlite_scans(statement: Statement) -> list[str]:
    steps = sqlite_steps(statement)
    scans = [step for step in steps if step.startswith("SCAN ") and _is_growing(step.split()[1], statement.sql)]
    # Along an index as far as a limit asks, unless all is sorted first.
    is_limited = "LIMIT" in statement.sql and "USE TEMP B-TREE FOR ORDER BY" not in steps
    return [step for step in scans if " INDEX " not in step or not is_limited]


def _is_growing(name: str, sql: str) -> bool:
    """Whether this table, or alias of a table, is one that grows."""
    return name in GROWING or any(re.search(rf'{table}"? (AS )?"?{name}\b', sql) for table in GROWING)


def _postgres_scans(statement: Statement) -> list[str]:
    with transaction.atomic(), connection.cursor() as cursor:
        # Small tables are always read whole, also for a join. What remains has no index that could help.
        for way in ("seqscan", "hashjoin", "mergejoin"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.params)
        (found,) = cursor.fetchone()
        transaction.set_rollback(True)  # undoes the settings
    plan = json.loads(found) if isinstance(found, str) else found
    return list(_reading_all(plan[0]["Plan"], is_limited=False))


def _reading_all(node: dict[str, Any], *, is_limited: bool) -> Iterator[str]:
    kind = node["Node Type"]
    is_limited = (is_limited or kind == "Limit") and kind not in ("Sort", "Hash", "Materialize")
    if node.get("Relation Name") in GROWING and kind.endswith("Scan") and kind != "Bitmap Heap Scan":
        is_ordered = kind.startswith("Index") and (is_limited or "Index Cond" in node)
        is_small = node.get("Index Name") in SMALL or (kind.startswith("Index") and node["Relation Name"] in JOINED)
        if not is_ordered and not is_small:
            yield f"{kind} on {node['Relation Name']}"
    for child in node.get("Plans", ()):
        yield from _reading_all(child, is_limited=is_limited)
