"""How much slower recognition is while a training run goes: p95 of a fresh service, idle and beside a run.

`python -m bench.beside_training` prints both, and ends with 1 when a p95 beside training is over twice the idle one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.photos import write_photo
from bench.service import NEVER_PASSED_ON, Service, fresh_service
from recognizer.supervisor.options import PROJECT_DIR

MODEL = "fruit"
LABELS = ("apple", "banana")
MOST = 2.0  # times the idle p95
PHOTO_SIZE = (500, 375)
START_SECONDS = 180.0


def main() -> int:
    parser = argparse.ArgumentParser(description="p95 of recognition beside a training run.")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (default: 20)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="at a time (default: 1 8)")
    parser.add_argument("--photos", type=int, default=60, help="of each of two classes to train with (default: 60)")
    parser.add_argument("--preset", default="balanced", help="of the run (default: balanced)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return measure(Path(scratch), options)


def measure(scratch: Path, options: argparse.Namespace) -> int:
    photo = write_photo(scratch, "500x375")
    write_folder(scratch / "photos", options.photos)
    data_dir = scratch / "data"
    data_dir.mkdir()
    with fresh_service(data_dir) as service:
        manage(data_dir, "dataset", "import", scratch / "photos", "--model", MODEL)
        manage(data_dir, "snapshot", "create", MODEL, "--no-features")
        idle = {number: load(service, photo, number, options.seconds) for number in options.clients}
        manage(data_dir, "retrain", MODEL, "--preset", options.preset, "--epochs", "900")
        wait_until_learning(data_dir)
        beside = {number: load(service, photo, number, options.seconds) for number in options.clients}
        steps = run_state(data_dir)
    worst = 0.0
    for number in options.clients:
        quiet, busy = idle[number], beside[number]
        ratio = busy["p95_ms"] / quiet["p95_ms"]
        worst = max(worst, ratio)
        figures = [f"{one['p95_ms']:.1f} ms at {one['per_second']:.1f}/s" for one in (quiet, busy)]
        print(f"{number:3} clients: p95 {figures[0]} idle, {figures[1]} beside training: {ratio:.2f} times")
    print(f"the run meanwhile: {steps}")
    return int(worst > MOST)


def write_folder(root: Path, each: int) -> None:
    random = np.random.default_rng(0)
    for label in LABELS:
        (root / label).mkdir(parents=True)
        for number in range(each):
            blobs = random.integers(0, 255, (9, 12, 3)).astype(np.uint8)
            picture = Image.fromarray(blobs).resize(PHOTO_SIZE, Image.Resampling.BICUBIC)
            picture.save(root / label / f"{number:03}.jpg")


def manage(data_dir: Path, *arguments: object) -> str:
    command = [sys.executable, "manage.py", *map(str, arguments)]
    kept = {name: value for name, value in os.environ.items() if name not in NEVER_PASSED_ON}
    chosen = kept | {"RECOGNIZER_DATA_DIR": str(data_dir)}
    done = subprocess.run(command, cwd=PROJECT_DIR, env=chosen, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


RUN_STATE = (
    "from recognizer.training.run_models import TrainingRun; run = TrainingRun.objects.get(); "
    "print(run.status, run.progress, run.error)"
)


def run_state(data_dir: Path) -> str:
    return manage(data_dir, "shell", "--no-imports", "-v", "0", "-c", RUN_STATE).strip()


def wait_until_learning(data_dir: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "step" not in (state := run_state(data_dir)):
        if time.monotonic() > deadline or "failed" in state:
            raise RuntimeError(f"The run does not learn: {state}")
        time.sleep(2)


def load(service: Service, photo: Path, num_clients: int, seconds: float) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "bench.client",
        service.predict_url(MODEL),
        str(photo),
        str(num_clients),
        str(seconds),
    ]
    done = subprocess.run(command, cwd=PROJECT_DIR, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
