"""One answer from a process of its own: that an artifact answers from its files alone, as the next worker will load it.

`python -m classifier_core.separate_process FOLDER ENGINE DEVICE PRECISION THREADS < photo` prints the score of each
label as JSON.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from classifier_core.artifact import Artifact
from classifier_core.classifier import Classification, load_classifier
from classifier_core.engines import EngineSpec
from classifier_core.errors import ClassifierError, EngineFailed

MAX_SECONDS = 120


def answer_separately(artifact: Artifact, spec: EngineSpec, raw: bytes, *, num_threads: int) -> dict[str, float]:
    """The scores by label that a fresh process gives for this photo. Raises EngineFailed when it gives none."""
    arguments = [str(artifact.folder), spec.engine, spec.device, spec.precision, str(num_threads)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, *arguments],
            input=raw,
            capture_output=True,
            timeout=MAX_SECONDS,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(f"A fresh process gave no answer within {MAX_SECONDS} seconds.") from error
    if done.returncode:
        said = last_words(done.stderr.decode(errors="replace"), done.returncode)
        raise EngineFailed(f"A fresh process gave no answer: {said}")
    return {str(label): float(score) for label, score in json.loads(done.stdout).items()}


def environment() -> dict[str, str]:
    """Of a process that is to find this package, wherever it begins."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def last_words(complaints: str, code: int) -> str:
    """Why a process ended with this code: the last line that it wrote to standard error."""
    return next(reversed(complaints.strip().splitlines()), f"exit status {code}")


def scores_of(answer: Classification) -> dict[str, float]:
    """The score of each label."""
    return {one.label: one.score for one in answer.scores}


def main(folder: str, engine: str, device: str, precision: str, num_threads: str) -> None:
    """Answer the photo on standard input."""
    spec = EngineSpec(engine, device, precision)  # type: ignore[arg-type]  # load_engine checks it
    classifier = load_classifier(folder, spec, num_threads=int(num_threads))
    pixels = classifier.artifact.preprocessing.load(sys.stdin.buffer.read())
    [answer] = classifier.classify([pixels], top_k=classifier.artifact.num_classes)
    sys.stdout.write(json.dumps(scores_of(answer)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ClassifierError as error:
        sys.exit(str(error))
