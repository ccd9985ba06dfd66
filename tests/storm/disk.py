"""A small disk of its own for a data folder, so that a test may fill it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NUM_MEGABYTES = 1300  # the service wants 500 MB free when it starts
STEP_BYTES = 1_000_000


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount one in memory over this folder. Gives False, and a plain folder, where we may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={NUM_MEGABYTES}m,mode=700", "tmpfs", folder]
    is_mounted = (
        os.geteuid() == 0 and subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No byte is left on the disk of this folder."""
    filler = folder / "filler"
    try:
        with filler.open("wb") as file:
            _take_all(file.fileno())
            yield
    finally:
        filler.unlink()


def _take_all(file: int) -> None:
    size = 0
    for step in (100 * STEP_BYTES, STEP_BYTES, 4096):  # in ever smaller bites, since the last one that fits counts
        try:
            while True:
                os.posix_fallocate(file, size, step)
                size += step
        except OSError:
            continue
