"""`python -m bench.peers`: requests a second of ours, LitServe and BentoML, beside the limit of this machine."""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench.peers.programs import PEERS, PYTHON, PeerFailed
from bench.peers.rounds import Plan, Round, measure_round
from bench.peers.table import cells_of, to_text
from bench.photos import SIZES, write_photo
from bench.report import machine
from bench.service import ServiceFailed

QUICK_SECONDS = 1.0
EXAMPLES = """examples:
  make bench-peers
  make bench-peers ARGS="--photos 500x375 --rounds 1"
  make bench-peers ARGS="--quick --json figures.json"
"""


def main() -> int:
    """Measure and print. Gives 1 when a server does not start."""
    options = parse(sys.argv[1:])
    if not PYTHON.exists():
        print("The peers are not installed. Run: make bench-peers", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that no peer is left running
    try:
        rounds = measure(options)
    except (ServiceFailed, PeerFailed) as failure:
        print(failure, file=sys.stderr)
        return 1
    print(to_text(rounds, about=_about(options)))
    if options.json:
        options.json.write_text(json.dumps(to_json(rounds), indent=1) + "\n")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description="Requests a second of ours, LitServe and BentoML with the same artifact, engine and preprocessing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="fruit", help="a registered model of a fresh service (default: fruit)")
    parser.add_argument("--photos", nargs="+", default=list(SIZES), choices=list(SIZES), help="sizes in pixels")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32], help="how many at once")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured time of each figure (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="of everything, in turn (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round of a second each: shows that it runs")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = QUICK_SECONDS, 1
    return options


def measure(options: argparse.Namespace) -> list[Round]:
    """Every round asked for. Raises ServiceFailed and PeerFailed."""
    with tempfile.TemporaryDirectory(prefix="recognizer-peers-") as scratch:
        folder = Path(scratch)
        (folder / "data").mkdir()
        photos = [write_photo(folder, size) for size in options.photos]
        plan = Plan(options.model, options.clients, options.seconds, PEERS, folder)
        return [measure_round(plan, photo, say=say) for _ in range(options.rounds) for photo in photos]


def _about(options: argparse.Namespace) -> str:
    return f"{options.model}, {options.rounds} rounds, {options.seconds:g} s for each figure"


def to_json(rounds: list[Round]) -> dict[str, object]:
    """Everything that was measured, as plain values."""
    return {
        "machine": machine(),
        "rounds": [asdict(one) for one in rounds],
        "table": [asdict(c) for c in cells_of(rounds)],
    }


def say(text: str) -> None:
    """Progress, beside the figures on standard output."""
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
