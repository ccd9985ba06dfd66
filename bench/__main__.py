"""`python -m bench`: requests a second of a fresh service, beside the limit of this machine."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench.measure import Table, measure_table
from bench.photos import SIZES, write_photo
from bench.report import missed_floors, to_json, to_text
from bench.service import ProcessMemory, ServiceFailed, fresh_service

EXAMPLES = """examples:
  make bench
  make bench ARGS="--models fruit --photos 500x375 --clients 8 --seconds 20"
  python -m bench --json figures.json

The admin's list of recognitions has a bench of its own, with its limit of 300 ms a page:
  RECOGNIZER_DATA_DIR=/tmp/full python -m bench.fill --predictions 100000
  RECOGNIZER_DATA_DIR=/tmp/full python -m bench.admin_list
"""
QUICK_SECONDS = 1.0


def main() -> int:
    """Measure and print. Gives 1 when the service does not start, or is under a floor in more than a quick look."""
    options = parse(sys.argv[1:])
    try:
        tables, memory = measure(options)
    except ServiceFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(to_text(tables, memory))
    if options.json:
        options.json.write_text(json.dumps(to_json(tables, memory, seconds=options.seconds), indent=1) + "\n")
    return judge(tables, is_quick=options.quick)


def judge(tables: list[Table], *, is_quick: bool) -> int:
    """The exit code; says each floor that was missed. One quick second proves nothing either way."""
    missed = missed_floors(tables)
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed and not is_quick else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Requests a second of a fresh service, beside the limit of this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--models", nargs="+", default=["fruit", "imagenet"], help="registered models of a fresh service"
    )
    parser.add_argument("--photos", nargs="+", default=list(SIZES), choices=list(SIZES), help="sizes in pixels")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32], help="how many at once")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured time of each figure (default: 8)")
    parser.add_argument("--quick", action="store_true", help="one second each: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--data-dir", type=Path, help="keep the service's data here (default: a temporary folder)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds = QUICK_SECONDS
    return options


def measure(options: argparse.Namespace) -> tuple[list[Table], list[ProcessMemory]]:
    """Every table asked for, and the memory at the end. Raises ServiceFailed."""
    with tempfile.TemporaryDirectory(prefix="recognizer-bench-") as scratch:
        photos = {size: write_photo(Path(scratch), size) for size in options.photos}
        say("starting a fresh service")
        with fresh_service(_data_dir(options.data_dir or Path(scratch) / "data")) as service:
            tables = [
                measure_table(
                    service,
                    service.served(model),
                    photos[size],
                    clients=options.clients,
                    seconds=options.seconds,
                    say=say,
                )
                for model in options.models
                for size in options.photos
            ]
            return tables, service.memory()


def _data_dir(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def say(text: str) -> None:
    """Progress, beside the figures on standard output."""
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
