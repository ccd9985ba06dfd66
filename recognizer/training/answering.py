"""Which artifact on which engine, as the commands that judge models are told."""

import re
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from classifier_core.artifact import MANIFEST, Artifact, load_artifact
from classifier_core.datasets.duplicates import group_near_duplicates
from classifier_core.datasets.folder import Photo
from classifier_core.engines import Device, EngineName, EngineSpec, Precision, usual_engine
from classifier_core.errors import ArtifactInvalid
from classifier_core.evaluation import Answered, Photos, answer_photos
from recognizer.registry import artifact_store
from recognizer.registry.configurations import chosen_spec, num_threads
from recognizer.registry.models import RegisteredModel

NAME = r"[\w.\-]+"  # of a registered model


def add_engine_options(parser: ArgumentParser) -> None:
    """--engine, --device and --precision; without them, what serving would choose."""
    group = parser.add_argument_group("engine (default: the one that serving would choose)")
    group.add_argument("--engine", choices=get_args(EngineName))
    group.add_argument("--device", choices=get_args(Device))
    group.add_argument("--precision", choices=get_args(Precision))


def add_test_option(parser: ArgumentParser) -> None:
    """--split: judge by the photos that neither trained nor chose."""
    parser.add_argument(
        "--split", type=Path, help="judge by the test photos of these lists only (see `dataset split`; a run has them)"
    )


def name_of(data: Path, split: Path | None) -> str:
    """What the photos are called in reports and files."""
    return data.resolve().stem if split is None else f"{data.resolve().stem}-test"


def artifact_folder(folder: Path) -> Path | None:
    """This folder, or that of the run in it, if it holds an artifact."""
    return next((one for one in (folder, folder / "artifact") if (one / MANIFEST).is_file()), None)


def find_artifact(name: str) -> Artifact:
    """The artifact in this folder, of the run in this folder, or that the registered model of this name serves.

    Raises ArtifactInvalid.
    """
    folder = Path(name)
    if found := artifact_folder(folder):
        return load_artifact(found)
    if folder.exists():
        raise ArtifactInvalid(f"{folder} holds no artifact: {MANIFEST} is not there.")
    if not re.fullmatch(NAME, name):
        raise ArtifactInvalid(f"There is no folder {name}. Name an artifact's folder, a run's, or a model that serves.")
    model = RegisteredModel.objects.filter(name=name).first()
    version = model.desired_version() if model else None
    if version is None:
        raise ArtifactInvalid(f"There is no artifact {name}, neither a folder nor a model that serves.")
    return artifact_store.fetch(version.artifact_sha256)


def engine_spec(
    artifact: Artifact, *, engine: EngineName | None, device: Device | None, precision: Precision | None, **_: Any
) -> EngineSpec:
    """The spec that the options name; what they leave open is as in serving, or plain where they differ from it."""
    if not (engine or device or precision):
        return chosen_spec(artifact)
    device = device or "cpu"
    spec = EngineSpec(engine or usual_engine(device), device)
    return replace(spec, precision=precision) if precision else spec


def answer(artifact: Artifact, photos: Photos, spec: EngineSpec, *, bar: bool) -> Answered:
    """The artifact's answers for these photos, with a progress bar. Raises ClassifierError."""
    with tqdm(total=len(photos), desc=artifact.architecture, unit=" photos", disable=None if bar else True) as progress:
        return answer_photos(artifact, photos, spec=spec, num_threads=num_threads(), progress=progress.update)


def near_duplicates(answered: Answered) -> list[int]:
    """The group of each photo that was answered."""
    pairs = zip(answered.photos, answered.labels, strict=True)
    return group_near_duplicates([Photo(path, label) for path, label in pairs])
