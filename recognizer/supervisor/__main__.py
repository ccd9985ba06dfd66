"""`python -m recognizer.supervisor`: the whole service in the foreground, until Ctrl-C or SIGTERM."""

import os
import sys
import time


def main() -> int:
    """Check, start, watch, stop. Gives 0 after a stop, 1 when a part does not come up, 2 when we may not start here."""
    if sys.version_info < (3, 11):  # noqa: UP036 - started by hand, outside the Makefile's environment
        found = ".".join(map(str, sys.version_info[:3]))
        print(
            f"Recognizer needs Python 3.11 or newer; this is {found}. `make serve` picks the right one.",
            file=sys.stderr,
        )
        return 2
    return _serve(time.monotonic())


def _serve(started_at: float) -> int:
    from recognizer.supervisor import checks, options, paths, service
    from recognizer.supervisor.leftovers import ChildrenFile

    try:
        chosen = options.read_options(os.environ)
        checks.create_run_dir(chosen.data_dir)
        lock = checks.lock_data_dir(chosen.data_dir)
        children = ChildrenFile(paths.run_dir(chosen.data_dir) / "children.json")
        for name in children.end_leftovers():
            service.say(f"Ended the {name} that a killed service had left.")
        checks.check_port(chosen)
        checks.check_disk(chosen.data_dir)
    except options.StartRefused as refusal:
        print(refusal, file=sys.stderr)
        return 2
    with lock:
        return service.run(chosen, children=children, started_at=started_at)


if __name__ == "__main__":
    sys.exit(main())
