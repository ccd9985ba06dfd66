"""The commands of an operator, run against the data folder of a running service."""

import subprocess
import sys

from tests.service import PROJECT_DIR, RunningService, environment


def manage(service: RunningService, *arguments: str, **extra: str) -> str:
    """Run `manage.py` as an operator would; gives what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    values = environment(service.data_dir, service.port, **extra)
    done = subprocess.run(
        command, cwd=PROJECT_DIR, env=values, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
