"""`python -m tests.storm`: a fault storm over a service of its own, and the reckoning as a table."""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from bench.service import NEVER_PASSED_ON
from tests.storm.course import Plan, ride_out

EXAMPLES = """examples:
  make storm
  make storm ARGS="--minutes 10 --database postgres"
  make storm ARGS="--minutes 3 --seed 7"

Kills with SIGKILL, so stop nothing else for it; takes two cores. Root, to fill a disk of its own.
"""


def main() -> int:
    """Gives 1 when anything that was promised was lost, doubled, unexplained or late."""
    plan = parse(sys.argv[1:])
    for name in NEVER_PASSED_ON:  # a storm breaks what it finds: never what somebody uses
        os.environ.pop(name, None)
    print(f"seed {plan.seed}", flush=True)  # noqa: T201 - first: of a storm that is cut short, too
    with tempfile.TemporaryDirectory(prefix="recognizer-storm-") as name:
        outcome = ride_out(plan, Path(name) / "data")
    print(outcome.text)  # noqa: T201
    return 0 if outcome.findings.is_clean else 1


def parse(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(
        prog="python -m tests.storm",
        description="Kill, stop, empty and fill everything under a real service, then check every promise.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="how long it strikes; 0: each fault once (default: 10)",
    )
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--rate", type=float, default=Plan.rate, help="uploads a second (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="the order of the faults")
    chosen = parser.parse_args(arguments)
    return Plan(chosen.seed, minutes=chosen.minutes, database=chosen.database, rate=chosen.rate)


if __name__ == "__main__":
    sys.exit(main())
