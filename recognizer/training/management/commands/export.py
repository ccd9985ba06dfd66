"""`manage.py export`: a model as one ONNX file for other programs, with proof of what it answers."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.core.management.base import BaseCommand

from classifier_core.errors import ExportFailed
from recognizer.training.complaints import in_a_sentence

if TYPE_CHECKING:
    from classifier_core.artifact import Artifact
    from classifier_core.evaluation import Photos
    from classifier_core.portable import Certificate
    from classifier_core.preprocessing import Pixels

EXAMPLES = """examples:
  python manage.py export fruit --format onnx --data photos/fruit-test
  python manage.py export media/runs/waste/artifact --format int8 --data waste.zip --out waste-int8
  python manage.py export media/runs/waste --format int8 --data photos/waste --split media/runs/waste

ARTIFACT is an artifact's folder, a run's folder, or the name of a model that serves. The file takes the pixels of a
picture (uint8, as labels.json and certificate.json say) and gives calibrated scores. certificate.json compares its
answers with the model's on the photos of --data. int8 needs photos to calibrate on, which do not judge: 128 drawn from
--data, or with --split from its training photos. An int8 file whose accuracy is more than half a point lower is
refused unless --force.
"""


class Command(BaseCommand):
    help = "Export a model to ONNX, in 32-bit floats or 8-bit integers, with a parity certificate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        from recognizer.training.answering import add_test_option

        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("artifact", metavar="ARTIFACT")
        parser.add_argument("--format", choices=("onnx", "int8"), required=True)
        parser.add_argument("--data", type=Path, required=True, help="photos by class, which the certificate is about")
        parser.add_argument("--calibration", type=Path, help="other photos for int8 (default: see above)")
        add_test_option(parser)
        parser.add_argument("--out", type=Path, help="a new folder (default: the architecture and format, here)")
        parser.add_argument("--force", action="store_true", help="write an int8 file that loses accuracy, too")

    def handle(self, *, artifact: str, **options: Any) -> None:
        with in_a_sentence():
            self._export(artifact, **options)

    def _export(
        self,
        name: str,
        *,
        format: str,  # noqa: A002  the option's name
        data: Path,
        split: Path | None,
        calibration: Path | None,
        out: Path | None,
        force: bool,
        **_: Any,
    ) -> None:
        from classifier_core.engines import EngineSpec, load_engine
        from classifier_core.engines.graph import load_graph
        from classifier_core.evaluation import open_photos
        from classifier_core.export import exported
        from classifier_core.portable import build_portable, certify, save_portable
        from classifier_core.quantisation import quantise
        from recognizer.registry.configurations import num_threads
        from recognizer.training import learned
        from recognizer.training.answering import find_artifact

        artifact = find_artifact(name)
        out = out or Path(f"{artifact.architecture.replace('/', '-')}-{format}")
        if out.exists():
            raise ExportFailed(f"{out} exists already. Name a new folder with --out.")
        with exported(artifact, num_threads=num_threads()) as ready:
            graph, num_drawn = build_portable(load_graph(ready).onnx, artifact), 0
        reference = load_engine(artifact, EngineSpec("torch"), num_threads=num_threads())
        with open_photos(data, split=split) as (root, photos):
            doubts = learned.doubts([artifact], photos, root)
            ours: Photos = _of_classes(artifact, photos)
            if format == "int8":
                drawn, ours = _draw(artifact, ours, data=data, split=split, calibration=calibration)
                graph, num_drawn = quantise(graph, drawn), len(drawn)
            prepared = _with_targets(artifact, ours)
            certificate = certify(graph, reference, artifact, prepared, num_threads=num_threads())
        if not force:
            certificate.check()
        made_with = {"format": format, "num_calibration_photos": num_drawn}
        save_portable(out, graph, artifact, certificate, made_with=made_with)
        self._tell(certificate, out, num_bytes=len(graph), doubts=doubts)

    def _tell(self, certificate: "Certificate", out: Path, *, num_bytes: int, doubts: list[str]) -> None:
        for sentence in doubts:
            self.stdout.write(sentence)
        parity = certificate.parity
        self.stdout.write(
            f"Top-1 {parity.top1_agreement:.2%} the same as torch in float32 on {certificate.num_photos} photos, "
            f"known {parity.known_agreement:.2%}; scores differ by at most {parity.score_difference:.2g}."
        )
        self.stdout.write(
            f"Accuracy {certificate.accuracy:.4f} (torch {certificate.accuracy_reference:.4f}); one picture in "
            f"{certificate.milliseconds} ms (torch {certificate.milliseconds_reference}) on "
            f"{certificate.num_threads} threads; {num_bytes / 1e6:.1f} MB."
        )
        self.stdout.write(f"Look at {out / 'certificate.json'}")


def _of_classes(artifact: "Artifact", photos: "Photos") -> "Photos":
    """The photos of the model's classes. Raises DatasetInvalid when there is not one."""
    from classifier_core.evaluation import class_indices, strange_labels

    strange_labels(artifact, photos)
    known = class_indices(artifact, {label for _, label in photos})
    return [photo for photo in photos if photo[1] in known]


def _draw(
    artifact: "Artifact", photos: "Photos", *, data: Path, split: Path | None, calibration: Path | None
) -> tuple[list["Pixels"], "Photos"]:
    """Prepared photos to calibrate on, and the photos to judge: never the same ones."""
    from classifier_core.evaluation import open_photos, readable_pixels
    from classifier_core.quantisation import CALIBRATION

    if calibration is not None:
        source = open_photos(calibration)
    elif split is not None:
        source = open_photos(data, split=split, part="train")
    else:
        shuffled, count = _shuffled(photos), min(CALIBRATION, len(photos) // 2)
        return [pixels for _, pixels in readable_pixels(artifact, shuffled[:count])], shuffled[count:]
    with source as (_, others):
        return [pixels for _, pixels in readable_pixels(artifact, _shuffled(others)[:CALIBRATION])], photos


def _shuffled(photos: "Photos") -> list[tuple[Path, str]]:
    return [photos[at] for at in np.random.default_rng(0).permutation(len(photos))]


def _with_targets(artifact: "Artifact", photos: "Photos") -> Iterator[tuple["Pixels", int]]:
    from classifier_core.evaluation import class_indices, readable_pixels

    indices = class_indices(artifact, {label for _, label in photos})
    for at, pixels in readable_pixels(artifact, photos):
        yield pixels, indices[photos[at][1]]
