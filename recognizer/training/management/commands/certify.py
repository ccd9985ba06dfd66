"""`manage.py certify`: whether a faster precision of this machine answers photos like float32."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.core.management.base import BaseCommand

from classifier_core.errors import EngineUnavailable, ImageRefused, ImageUndecodable
from recognizer.training.complaints import in_a_sentence

if TYPE_CHECKING:
    from classifier_core.artifact import Artifact
    from classifier_core.engines import EngineSpec
    from classifier_core.engines.parity import Parity
    from classifier_core.evaluation import Photos
    from classifier_core.preprocessing import Pixels

PARTS = ("test", "val")
MAX_PHOTOS = 1000  # of a part, drawn: their pixels lie in memory, three times 150 kB each

EXAMPLES = """examples:
  python manage.py certify media/runs/fruit --data photos/fruit --split media/runs/fruit
  python manage.py certify fruit --data photos/fruit-test

ARTIFACT is an artifact's folder, a run's folder, or the name of a model that serves. Without --split all photos of
--data judge; with it those that chose the weights and those that neither trained nor chose. Each counts three times:
whole, and two parts of it. 500 such pictures are needed. Where bfloat16 answers as well as float32, workers use it: of
a model that serves once they start again, of a folder once it is imported (also when it was imported before).
"""


class Command(BaseCommand):
    help = "Measure on photos whether the faster precisions of this machine answer like float32; the artifact keeps it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("artifact", metavar="ARTIFACT")
        parser.add_argument("--data", type=Path, required=True, help="photos by class: a folder, a zip or a CSV")
        parser.add_argument("--split", type=Path, help="only the validation and test photos of these lists")

    def handle(self, *, artifact: str, data: Path, split: Path | None, **_: Any) -> None:
        with in_a_sentence():
            self._certify(artifact, data, split)

    def _certify(self, name: str, data: Path, split: Path | None) -> None:
        from classifier_core.engines.precision import certify, fast_specs, store_parity
        from classifier_core.export import exported
        from recognizer.registry import artifact_store
        from recognizer.registry.configurations import num_threads
        from recognizer.training.answering import find_artifact

        artifact, specs = find_artifact(name), fast_specs()
        if not specs:
            raise EngineUnavailable("This machine computes in float32 only; there is nothing to compare with it.")
        pixels, targets, groups = _pictures(artifact, data, split)
        with exported(artifact, num_threads=num_threads()) as ready:
            for spec in specs:
                parity = certify(
                    ready, spec, pixels, targets=np.array(targets), groups=groups, num_threads=num_threads()
                )
                store_parity(artifact, spec, parity)
                self._tell(spec, parity)
        if artifact.folder == artifact_store.folder_of(artifact.sha256):
            artifact_store.publish(artifact.sha256)

    def _tell(self, spec: "EngineSpec", parity: "Parity") -> None:
        from classifier_core.engines.precision import is_equal_enough

        self.stdout.write(
            f"{spec}: top-1 {parity.top1_agreement:.2%} and known {parity.known_agreement:.2%} the same as float32 on "
            f"{parity.num_pictures} pictures; accuracy {parity.accuracy:.2%}, at least {parity.least_accuracy:.2%} is "
            f"asked; {'it may serve' if is_equal_enough(parity) else 'float32 goes on serving'}."
        )


def _pictures(artifact: "Artifact", data: Path, split: Path | None) -> tuple[list["Pixels"], list[int], list[int]]:
    """Prepared pictures, their class indices, and the number of the photo each is of."""
    from classifier_core.evaluation import open_photos

    pixels: list[Pixels] = []
    targets: list[int] = []
    groups: list[int] = []
    for part in PARTS if split else PARTS[:1]:
        with open_photos(data, split=split, part=part) as (_root, photos):
            for views, target in _views(artifact, _some(photos)):
                groups += [len(targets)] * len(views)
                pixels += views
                targets += [target] * len(views)
    return pixels, targets, groups


def _some(photos: "Photos") -> "Photos":
    return [photos[at] for at in np.random.default_rng(0).permutation(len(photos))[:MAX_PHOTOS]]


def _views(artifact: "Artifact", photos: "Photos") -> Iterator[tuple[list["Pixels"], int]]:
    from classifier_core.crops import corner_crops
    from classifier_core.evaluation import class_indices
    from classifier_core.images import decode

    indices, apply = class_indices(artifact, {label for _, label in photos}), artifact.preprocessing.apply
    for path, label in photos:
        with suppress(ImageRefused, ImageUndecodable):  # as when models are judged: it counts for neither
            if label in indices:
                yield [apply(view) for view in corner_crops(decode(path.read_bytes()))], indices[label]
