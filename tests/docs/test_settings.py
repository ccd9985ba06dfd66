"""docs/settings.md says what the code reads: every variable, its default and its bounds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2]
PAGE = (PROJECT_DIR / "docs" / "settings.md").read_text()
READERS = {"text", "flag", "integer", "number", "words", "choice"}


def reads() -> dict[str, ast.Call]:
    """Every read of an environment variable in the product, by name."""
    files = [path for top in ("recognizer", "classifier_core") for path in (PROJECT_DIR / top).rglob("*.py")]
    return {name: call for path in files for name, call in _reads_in(ast.parse(path.read_text()))}


def _reads_in(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args and _is_read(call.func):
            first = call.args[0]
            if isinstance(first, ast.Constant) and re.fullmatch(r"[A-Z][A-Z0-9_]+", str(first.value)):
                yield first.value, call


def _is_read(function: ast.Attribute) -> bool:
    source = ast.unparse(function.value)
    return (source == "environment" and function.attr in READERS) or (
        source.endswith("environ") and function.attr == "get"
    )


def rows() -> dict[str, list[str]]:
    """The documented variables: name to the cells of its row."""
    cells = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")
    )
    return {row[0].strip("`"): row[1:] for row in cells}


READ = reads()
ROWS = rows()
OUTSIDE = {line for line in ROWS if line in PAGE.partition("## Outside the service")[2]}


def test_every_variable_is_documented():
    assert len(READ) > 30
    assert not READ.keys() - ROWS.keys()


def test_no_variable_is_invented():
    assert not ROWS.keys() - READ.keys() - OUTSIDE


@pytest.mark.parametrize("name", sorted(OUTSIDE - READ.keys()))
def test_outside_variables_are_read_by_somebody(name: str):
    places = ["docker-compose.yml", "requirements/install.sh", "tests/isolation.py", "tests/photos.py"]
    assert any(re.search(rf"\b{name}\b", (PROJECT_DIR / place).read_text()) for place in places)


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def calls_of(reader: str) -> list[str]:
    return sorted(
        name for name, call in READ.items() if isinstance(call.func, ast.Attribute) and call.func.attr == reader
    )


@pytest.mark.parametrize("name", [*calls_of("integer"), *calls_of("number")])
def test_numbers_have_the_documented_bounds(name: str):
    call = READ[name]
    low, high = (ast.literal_eval(keywords(call)[bound]) for bound in ("minimum", "maximum"))
    default, allowed, _ = ROWS[name]
    assert default == f"`{ast.literal_eval(call.args[1])}`"
    assert allowed == f"{low} to {high}"


@pytest.mark.parametrize("name", calls_of("flag"))
def test_switches_have_the_documented_default(name: str):
    default, allowed, _ = ROWS[name]
    assert default == f"`{str(ast.literal_eval(keywords(READ[name])['default'])).lower()}`"
    assert allowed == "yes or no"


@pytest.mark.parametrize("name", calls_of("choice"))
def test_choices_are_the_documented_ones(name: str):
    call = READ[name]
    default, allowed, _ = ROWS[name]
    assert default == f"`{ast.literal_eval(call.args[1])}`"
    assert allowed.split(", ") == [f"`{choice}`" for choice in ast.literal_eval(keywords(call)["choices"])]


@pytest.mark.parametrize("name", [*calls_of("text"), *calls_of("words")])
def test_texts_have_the_documented_default(name: str):
    given = READ[name].args[1:]
    if not given:
        assert name in {"RECOGNIZER_SECRET_KEY", "RECOGNIZER_S3_ENDPOINT"} or ROWS[name][0] == ""
    elif isinstance(given[0], ast.Constant):
        assert ROWS[name][0] == f"`{given[0].value}`"
    elif isinstance(given[0], ast.List):
        assert ROWS[name][0] == f"`{','.join(ast.literal_eval(given[0]))}`"
