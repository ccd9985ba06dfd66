"""`manage.py train`: from a folder of photos to an artifact with a report."""

import csv
import hashlib
import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from classifier_core.errors import TrainingFailed
from classifier_core.known import MAX_VECTORS
from classifier_core.training import config as choices
from classifier_core.training.config import TrainConfig
from recognizer.training.complaints import in_a_sentence

if TYPE_CHECKING:
    from classifier_core.training.packing import Packaging
    from classifier_core.training.runs import RunResult

EXAMPLES = """examples:
  python manage.py train --data photos/fruit --arch mobilenet_v2
  python manage.py train --data photos/fruit --arch mobilenet_v2 --pretrained mobilenet_v2.safetensors --freeze
  python manage.py train --data waste.zip --arch ghostnet_100 --augmentation strong --epochs 100 --teacher big/artifact
  python manage.py train --data digits --arch mobilenet_v2_digits --channels 1 --image-size 28 --fit letterbox --no-flip
  torchrun --nproc-per-node 2 manage.py train --data photos/fruit --arch resnet18

The same command goes on where it was stopped or killed, after the last finished epoch.
"""
DEFAULTS = {field.name: field.default for field in fields(TrainConfig)}


class Command(BaseCommand):
    help = "Train a network on photos that lie in a folder for each class."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        _add_data(parser)
        _add_network(parser)
        _add_learning(parser)
        _add_changes(parser)
        _add_teacher(parser)
        _add_machine(parser)
        parser.set_defaults(**{name: value for name, value in DEFAULTS.items() if name != "arch"})

    def handle(self, *, data: Path, **options: Any) -> None:
        try:
            with in_a_sentence():
                self._train(data, **options)
        except KeyboardInterrupt:
            raise CommandError("Stopped. The same command goes on after the last finished epoch.") from None

    def _train(self, data: Path, *, folder: Path | None, **options: Any) -> None:
        from tqdm import tqdm

        from classifier_core.datasets.archive import open_dataset
        from classifier_core.training.network import check_start
        from classifier_core.training.runs import is_learned, train
        from classifier_core.training.watching import Watch
        from recognizer.training.splitting import chosen_split

        config = TrainConfig(**{name: options[name] for name in DEFAULTS} | _sources(**options))
        folder = folder or _run_folder(data, config, **options)
        if not is_learned(folder):  # a finished run needs neither weights nor a teacher any more
            check_start(config)  # before the photos are read, and before the folder holds a run with a slip in it
        with open_dataset(data) as dataset:
            result = train(
                config,
                chosen_split(dataset, **options),
                folder,
                data_name=data.resolve().stem,
                packaging=_packaging(**options),
                progress=tqdm.write,  # above the bar, not through it
                watch=Watch(bar=options["verbosity"] > 0),
            )
        if result is not None:
            self.stdout.write("\n".join(_told(result)))


def _sources(*, pretrained: str, teacher: str, **_: object) -> dict[str, str]:
    """Where weights and lessons come from; the folder of a run means its artifact."""
    from recognizer.training.answering import artifact_folder

    given = {name: source for name, source in (("pretrained", pretrained), ("teacher", teacher)) if source}
    return {name: str(artifact_folder(Path(source)) or source) for name, source in given.items()}


def _add_data(parser: ArgumentParser) -> None:
    from recognizer.training.splitting import add_split_options

    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        type=Path,
        required=True,
        help="a folder with a folder of photos for each class, a zip of one, or a CSV of path,label",
    )
    add_split_options(group)
    group.add_argument("--names", type=Path, help="TSV with the columns key, en, zh: the classes' names by language")
    # Not --run: torchrun would take it for the start of its own --run-path.
    group.add_argument("--folder", type=Path, help="of the run (default: one below media/runs, by its options)")
    group.add_argument("--strangers", type=Path, help="photos of none of the classes, to be told from known ones")
    group.add_argument(
        "--known-photos",
        type=int,
        dest="num_known",
        default=MAX_VECTORS,
        help=f"so many photos' features go into the artifact to tell strangers (default: {MAX_VECTORS})",
    )
    group.add_argument("--half", action="store_true", help="store the artifact's weights in half precision")


def _add_network(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument("--arch", required=True, help="mobilenet_v2, ghostnet_100, resnet18, ... or a family's name")
    group.add_argument(
        "--pretrained", help="safetensors file, folder of an artifact or run, or hub name (default: from scratch)"
    )
    group.add_argument("--freeze", action="store_true", help="train the head only, on features computed once")
    group.add_argument("--image-size", type=int, help="pixels (default: 224)")
    group.add_argument("--serving-size", type=int, help="pixels at which it is judged and served (default: the same)")
    group.add_argument("--channels", type=int, choices=(1, 3), help="1: grey, 3: colour (default: 3)")
    group.add_argument("--fit", choices=get_args(choices.Fit), help="cut the middle, or letterbox (default: crop)")


def _add_learning(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("learning")
    group.add_argument("--epochs", type=int, help="passes over the photos (default: 30)")
    group.add_argument("--batch-size", type=int, help="photos a step, over all processes together (default: 32)")
    group.add_argument("--optimizer", choices=get_args(choices.Optimizer), help="default: adamw")
    group.add_argument("--lr", type=float, help="highest learning rate (default: a usual one for the optimizer)")
    group.add_argument("--lrf", type=float, help="last learning rate as a share of --lr, by a cosine (default: 0.01)")
    group.add_argument("--warmup", type=float, help="epochs in which the learning rate rises (default: 1)")
    group.add_argument("--head-lr-factor", type=float, help="the head learns so many times faster (default: 1)")
    group.add_argument("--momentum", type=float, help="of sgd (default: 0.9)")
    group.add_argument("--weight-decay", type=float, help="default: 0.01")
    group.add_argument("--label-smoothing", type=float, help="default: 0")
    group.add_argument("--balance", choices=get_args(choices.Balance), help="small classes: count or come more often")
    group.add_argument("--ema", type=float, help="decay of an average of the weights, such as 0.999 (default: off)")
    group.add_argument("--patience", type=int, help="stop after so many epochs without a better one (default: never)")
    group.add_argument("--best", choices=get_args(choices.Best), help="what the kept epoch is best in on validation")
    group.add_argument("--seed", type=int, help="another one gives another network (default: 0)")


def _add_changes(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("changes to the photos")
    group.add_argument("--augmentation", choices=get_args(choices.Augmentation), help="default: flip-crop")
    group.add_argument("--no-flip", dest="flip", action="store_false", help="left and right differ: digits, text")
    group.add_argument("--no-recolour", dest="recolour", action="store_false", help="colours are the classes")
    group.add_argument("--mixup", type=float, help="alpha, such as 0.2 (default: off)")


def _add_teacher(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("distillation")
    group.add_argument("--teacher", help="folder of the artifact, or run, of a better model with the same classes")
    group.add_argument("--teacher-weight", type=float, help="of its scores beside the labels, 0 to 1 (default: 0.5)")
    group.add_argument("--teacher-temperature", type=float, help="softens both scores (default: 2)")
    group.add_argument("--teacher-size", type=int, help="pixels at which it looks (default: as it is served)")
    group.add_argument("--feature-weight", type=float, help="of its features in the loss (default: 0)")
    group.add_argument("--more-photos", help="folder of any photos, which the teacher judges")


def _add_machine(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument("--device", choices=get_args(choices.Device), help="default: a GPU where there is one")
    group.add_argument("--precision", choices=get_args(choices.Precision), help="default: bfloat16 where it is fast")
    group.add_argument("--cache-bytes", type=int, help="memory for decoded photos (default: 2 GB)")


def _packaging(*, names: Path | None, half: bool, strangers: Path | None, num_known: int, **_: Any) -> "Packaging":
    from classifier_core.training.packing import Packaging

    named = _read_names(names) if names else {}
    return Packaging(named, half=half, strangers=strangers, num_known=num_known)


def _run_folder(data: Path, config: TrainConfig, **options: Any) -> Path:
    # The same command finds its own folder again, and another one never meets it.
    split = [str(options[name]) for name in ("split", "val_share", "test_share", "split_seed", "features")]
    asked = [config.to_dict(), str(data.resolve()), *split]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return Path(settings.MEDIA_ROOT) / "runs" / f"{data.resolve().stem}-{config.arch.replace('/', '-')}-{digest[:8]}"


def _read_names(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except UnicodeDecodeError as error:
        raise TrainingFailed(f"{path} is not UTF-8 text. Save it as UTF-8.") from error
    if not rows or not {"key", "en", "zh"} <= rows[0].keys():
        raise TrainingFailed(f"{path} lacks the columns key, en and zh, separated by tabs.")
    empty = next((row["key"] for row in rows if not (row["key"] and row["en"] and row["zh"])), None)
    if empty is not None:
        raise TrainingFailed(f"{path} has an empty cell in the line of {empty!r}.")
    return {row["key"]: {"en": row["en"], "zh": row["zh"]} for row in rows}


def _told(result: "RunResult") -> Iterator[str]:
    figures, cost = result.figures, result.figures["cost"]
    yield f"Best was epoch {figures['best_epoch']} of {figures['epochs']}, after {figures['train_seconds']:.0f} s."
    for name, one in figures["parts"].items():
        low, high = one["accuracy_interval"]
        accuracy = f"accuracy {one['accuracy']:.4f} ({low:.3f} to {high:.3f})"
        yield f"  {name:5} {accuracy}, macro recall {one['macro_recall']:.4f} on {one['num_images']} photos"
    parameters = f"{cost['num_parameters']:,} parameters ({cost['num_trainable']:,} trained)"
    yield f"  {parameters}, {cost['flops'] / 1e6:,.0f} million operations a photo"
    yield f"  {figures['artifact']['num_bytes'] / 1e6:.1f} MB of artifact in {result.artifact.folder}"
    yield f"Look at {result.folder / 'report.html'}"
