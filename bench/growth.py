"""`python -m bench.growth`: what grows, timed at a thousand, a hundred thousand and a million recognitions.

For each size and database it fills a folder of its own, times every page there (20 requests) and removes the folder,
or with --keep leaves it for the next time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.markdown import table
from recognizer.supervisor.options import PROJECT_DIR
from tests.postgres import PostgresServer

LIMIT_MS = 300.0
SIZES = [1_000, 100_000, 1_000_000]
FILLED = "filled"  # a file beside the rows, once all of them are there
MAX_PENDING = "100000"  # as many as wait in the folder: an upload is to be stored, not refused
DATABASES = ["sqlite", "postgresql"]
EXAMPLES = """examples:
  python -m bench.growth
  python -m bench.growth --predictions 100000 --databases sqlite --only history
  python -m bench.growth --predictions 1000000 --keep /tmp/growth --only list
"""
Figures = dict[str, dict[str, list[float]]]  # by column and page: p95 and processor time, milliseconds


def main() -> int:
    """Measure and print. Gives 1 when a page is over the limit."""
    options = parse(sys.argv[1:])
    figures = {
        f"{database} {size:,}": measure(database, size, options)
        for database in options.databases
        for size in options.predictions
    }
    print(to_markdown(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if slow_pages(figures) else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=f"The 95th percentile of every page that grows with the history; the limit is {LIMIT_MS:.0f} ms.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--predictions", nargs="+", type=int, default=SIZES, help="how many recognitions")
    parser.add_argument("--databases", nargs="+", default=DATABASES, choices=DATABASES)
    parser.add_argument("--repeats", type=int, default=20, help="requests of each page (default: 20)")
    parser.add_argument("--only", default="", help="pages whose name begins so, such as history")
    parser.add_argument("--keep", type=Path, help="fill folders in this one, and take those that are filled already")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if options.repeats < 2:
        parser.error("--repeats: a percentile needs 2 requests or more.")
    return options


def measure(database: str, size: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """p95 and processor time by page."""
    with _folder(options.keep, f"{database}-{size}") as folder, _database(database, folder) as url:
        place = {"RECOGNIZER_DATA_DIR": str(folder), "RECOGNIZER_MAX_PENDING": MAX_PENDING, **url}
        environment = {**os.environ, **place}
        if (folder / FILLED).exists():
            _run(environment, "manage", "migrate", "--verbosity", 0)
        else:
            print(f"... {database}, {size:,}: fill", file=sys.stderr, flush=True)
            _run(environment, "bench.fill", "--predictions", size)
            (folder / FILLED).touch()
        print(f"... {database}, {size:,}: pages", file=sys.stderr, flush=True)
        asked = ("--repeats", options.repeats, "--only", options.only)
        return dict(json.loads(_run(environment, "bench.growth_pages", *asked)))


@contextmanager
def _folder(keep: Path | None, name: str) -> Iterator[Path]:
    """Where the rows lie: below `keep`, else in a folder that goes."""
    with ExitStack() as stack:
        below = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recognizer-growth-")))
        below.mkdir(parents=True, exist_ok=True)
        below.chmod(0o755)  # a PostgreSQL server is another user
        folder = below.resolve() / name
        folder.mkdir(exist_ok=True)
        yield folder


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """The environment that names the folder's own."""
    if kind == "sqlite":
        yield {}
        return
    place = folder / "server"
    place.mkdir(exist_ok=True)
    server = PostgresServer(place)
    if not (place / "data").exists():
        server.create()
    server.start()
    try:
        yield {"DATABASE_URL": server.url}
    finally:
        server.stop()


def _run(environment: dict[str, str], module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=PROJECT_DIR, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def slow_pages(figures: Figures) -> list[str]:
    """The pages over the limit, each with its column."""
    return [
        f"{column}: {page}" for column, pages in figures.items() for page, (p95, _) in pages.items() if p95 > LIMIT_MS
    ]


def to_markdown(figures: Figures) -> str:
    """A line for each page, a column for each database and size; what is over the limit is bold."""
    pages = next(iter(figures.values()))
    lines = [[page, *(_cell(*column[page]) for column in figures.values())] for page in pages]
    return table(["p95 ms (processor ms)", *figures], lines)


def _cell(p95: float, work: float) -> str:
    clock = f"**{p95:.0f}**" if p95 > LIMIT_MS else f"{p95:.0f}"
    return f"{clock} ({work:.0f})"


if __name__ == "__main__":
    sys.exit(main())
