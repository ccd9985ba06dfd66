"""What a run learns: the whole network from photos, or a head from the features of a frozen backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from classifier_core.artifact import load_artifact
from classifier_core.preprocessing import Preprocessing
from classifier_core.training.augmentation import recipe_of
from classifier_core.training.config import TrainConfig
from classifier_core.training.device import Machine
from classifier_core.training.examples import Normaliser, Serve, drawn_features, drawn_photos, served_photos
from classifier_core.training.learner import Learner, Objective
from classifier_core.training.loop import Lesson
from classifier_core.training.materials import Materials
from classifier_core.training.network import Prepared, served_features
from classifier_core.training.sampling import class_weights
from classifier_core.training.teacher import Teacher
from classifier_core.training.watching import UNWATCHED, Watch


@dataclass(frozen=True)
class Plan:
    """A lesson, and who learns it. `head` is the name of the learner's head; empty when it is nothing but a head."""

    lesson: Lesson
    learner: Learner
    head: str


def build_plan(
    prepared: Prepared,
    materials: Materials,
    preprocessing: Preprocessing,
    *,
    config: TrainConfig,
    machine: Machine,
    watch: Watch = UNWATCHED,
) -> Plan:
    """The lesson that the configuration asks for. Raises TrainingFailed, ArtifactInvalid."""
    normaliser = Normaliser(preprocessing, machine.device)
    if config.freeze:
        plan = _head_plan(prepared, materials, normaliser, config=config, machine=machine, watch=watch)
        if plan is not None:
            return plan
    teacher = _hire(config, materials, normaliser)
    num_projected = teacher.num_features if teacher and config.feature_weight else 0
    learner = Learner(prepared.network, head=prepared.head, num_projected=num_projected).to(machine.device)
    lesson = Lesson(
        config=config,
        labels=materials.train.labels,
        draw=drawn_photos(materials.train_pictures, recipe_of(config), normaliser, size=config.image_size),
        targets=materials.targets,
        serve=served_photos(materials.val_pictures, normaliser),
        val_targets=materials.val.targets,
        objective=_objective(config, materials, machine, teacher),
        machine=machine,
    )
    return Plan(lesson, learner, prepared.head)


def _head_plan(
    prepared: Prepared,
    materials: Materials,
    normaliser: Normaliser,
    *,
    config: TrainConfig,
    machine: Machine,
    watch: Watch,
) -> Plan | None:
    served, val_served = (
        served_photos(pictures, normaliser) for pictures in (materials.train_pictures, materials.val_pictures)
    )
    views = [served, _mirrored(served)] if recipe_of(config).flip else [served]
    features = served_features(prepared, views, len(materials.targets), place=machine.place, watch=watch)
    val_features = served_features(prepared, [val_served], len(materials.val.photos), place=machine.place, watch=watch)
    if features is None or val_features is None:
        return None
    lesson = Lesson(
        config=config,
        labels=materials.train.labels,
        draw=drawn_features(features),
        targets=materials.targets,
        serve=val_features[0].__getitem__,
        val_targets=materials.val.targets,
        objective=_objective(config, materials, machine),
        machine=machine,
    )
    return Plan(lesson, Learner(prepared.network.get_submodule(prepared.head), head=""), "")


def _objective(
    config: TrainConfig, materials: Materials, machine: Machine, teacher: Teacher | None = None
) -> Objective:
    if config.balance != "weights":
        return Objective(config, None, teacher)
    weights = class_weights(materials.targets, num_classes=len(materials.train.labels))
    return Objective(config, weights.to(machine.device), teacher)


def _hire(config: TrainConfig, materials: Materials, normaliser: Normaliser) -> Teacher | None:
    if not config.teacher:
        return None
    labels = materials.train.labels
    artifact, size = load_artifact(config.teacher), config.teacher_size
    return Teacher(artifact, labels=labels, normaliser=normaliser, channels=config.channels, size=size)


def _mirrored(serve: Serve) -> Serve:
    def served(numbers: Sequence[int]) -> torch.Tensor:
        return serve(numbers).flip(3)

    return served
