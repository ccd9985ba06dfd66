"""`manage.py zoo`: many networks on the same photos, in one table."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from django.core.management.base import BaseCommand, CommandError

from classifier_core.errors import ClassifierError, TrainingFailed, TrainingStopped
from classifier_core.training import config as choices
from classifier_core.training.config import TrainConfig
from recognizer.training.complaints import in_a_sentence
from recognizer.training.tables import padded, width_of

if TYPE_CHECKING:
    from classifier_core.datasets.splits import Split
    from classifier_core.zoo import Entry

EXAMPLES = """examples:
  python manage.py zoo --data photos/cars --archs mobilenet_v2 resnet18 ghostnet_100 squeezenet1_1 --epochs 20
  python manage.py zoo --data photos/cars --archs mobilenet_v2 --pretrained mobilenet_v2=mobilenet_v2.safetensors
  python manage.py zoo --data photos/fruit --load media/runs/fruit-mobilenet_v2-1a2b3c4d starters/fruit

--archs are trained from scratch, each in a run folder below --out; those with --pretrained weights from them too, so
that both can be seen side by side. --load adds finished runs, artifacts and models that serve. Called again, it goes
on with what is not there yet. --out gets report.html and zoo.json.
"""
OPTIONS = (
    *("epochs", "batch_size", "image_size", "channels", "fit", "optimizer", "lr", "head_lr_factor"),
    *("augmentation", "balance", "seed"),
)


class Command(BaseCommand):
    help = "Train or load several networks, and compare accuracy, size, arithmetic and latency in one table."

    def add_arguments(self, parser: ArgumentParser) -> None:
        from recognizer.training.splitting import add_split_options

        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("--data", type=Path, required=True, help="a folder for each class, a zip, or a CSV")
        parser.add_argument("--archs", nargs="+", default=[], metavar="NAME", help="networks to train")
        parser.add_argument(
            "--pretrained", action="append", default=[], metavar="ARCH=FILE", help="weights to start ARCH from, too"
        )
        parser.add_argument("--load", nargs="+", default=[], metavar="FOLDER", help="runs, artifacts, serving models")
        parser.add_argument("--out", type=Path, help="folder for runs and results (default: DATA-zoo, here)")
        _add_training(parser)
        add_split_options(parser.add_argument_group("split"))

    def handle(self, *, data: Path, **options: Any) -> None:
        try:
            with in_a_sentence():
                self._show(data, **options)
        except KeyboardInterrupt:
            raise CommandError("Stopped. The same command goes on with what is not there yet.") from None

    def _show(self, data: Path, *, out: Path | None, load: list[str], verbosity: int, **options: Any) -> None:
        from classifier_core import durable
        from classifier_core.datasets.archive import open_dataset
        from classifier_core.reports.zoo import HEAD, table_rows, write_zoo
        from recognizer.training.splitting import chosen_split

        configs = list(_configs(**options))
        if not configs and not load:
            raise TrainingFailed("Name networks to train with --archs, or finished ones with --load.")
        name = data.resolve().stem
        out = out or Path(f"{name}-zoo")
        with open_dataset(data) as dataset:
            split = chosen_split(dataset, **options)
            jobs = [*self._trained(configs, split, out, name, bar=verbosity > 0), *self._loaded(load, split)]
        entries = [entry for _, entry in jobs if not isinstance(entry, str)]
        problems = [(title, entry) for title, entry in jobs if isinstance(entry, str)]
        if not entries:
            raise TrainingFailed(f"Not one network is there to compare. {problems[0][0]}: {problems[0][1]}")
        out.mkdir(parents=True, exist_ok=True)
        content = {"dataset": name, "entries": [entry.to_dict() for entry in entries], "problems": problems}
        durable.replace(out / "zoo.json", [durable.as_json(content)])
        write_zoo(entries, problems, out / "report.html", name=name)
        for line in _aligned([HEAD, *table_rows(entries)]):
            self.stdout.write(line)
        self.stdout.write(f"Look at {out / 'report.html'}")

    def _trained(
        self, configs: list[TrainConfig], split: "Split", out: Path, name: str, *, bar: bool
    ) -> Iterator[tuple[str, "Entry | str"]]:
        from classifier_core.training.runs import train
        from classifier_core.training.watching import Watch
        from classifier_core.zoo import describe_run
        from recognizer.registry.configurations import num_threads

        judges = split.test if split.test.photos else split.val
        for config in configs:
            start = "pretrained" if config.pretrained else "scratch"
            title = f"{config.arch}, {start}"
            try:
                folder = out / "runs" / f"{config.arch.replace('/', '-')}-{start}"
                result = train(config, split, folder, data_name=name, progress=self.stdout.write, watch=Watch(bar=bar))
                if result is not None:
                    yield title, describe_run(result, judges, num_threads=num_threads())
            except TrainingStopped:
                raise
            except ClassifierError as error:  # one that fails does not stop the others
                self.stderr.write(f"{title}: {error}")
                yield title, str(error)

    def _loaded(self, names: list[str], split: "Split") -> Iterator[tuple[str, "Entry | str"]]:
        from classifier_core.training.runs import read_result
        from classifier_core.zoo import describe_artifact, describe_run
        from recognizer.registry.configurations import num_threads
        from recognizer.training.answering import find_artifact

        judges = split.test if split.test.photos else split.val
        for name in names:
            try:
                if (Path(name) / "results.json").is_file():
                    entry = describe_run(read_result(Path(name)), judges, num_threads=num_threads())
                else:
                    entry = describe_artifact(find_artifact(name), judges, num_threads=num_threads())
                yield name, replace(entry, source=name)
            except ClassifierError as error:
                self.stderr.write(f"{name}: {error}")
                yield name, str(error)


def _add_training(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("training (the same for all; defaults as in `train`)")
    group.add_argument("--epochs", type=int)
    group.add_argument("--batch-size", type=int)
    group.add_argument("--image-size", type=int)
    group.add_argument("--channels", type=int, choices=(1, 3))
    group.add_argument("--fit", choices=get_args(choices.Fit))
    group.add_argument("--optimizer", choices=get_args(choices.Optimizer))
    group.add_argument("--lr", type=float)
    group.add_argument("--head-lr-factor", type=float)
    group.add_argument("--augmentation", choices=get_args(choices.Augmentation))
    group.add_argument("--balance", choices=get_args(choices.Balance))
    group.add_argument("--seed", type=int)
    defaults = {field.name: field.default for field in fields(TrainConfig)}
    parser.set_defaults(**{name: defaults[name] for name in OPTIONS})


def _configs(*, archs: list[str], pretrained: list[str], **options: Any) -> Iterator[TrainConfig]:
    same = {name: options[name] for name in OPTIONS}
    weights = dict(_weights(pair) for pair in pretrained)
    missing = weights.keys() - set(archs)
    if missing:
        raise TrainingFailed(f"--pretrained names {', '.join(sorted(missing))}, which --archs does not.")
    for arch in archs:
        yield TrainConfig(arch=arch, **same)
        if arch in weights:
            yield TrainConfig(arch=arch, pretrained=weights[arch], **same)


def _weights(pair: str) -> tuple[str, str]:
    arch, separator, path = pair.partition("=")
    if not (arch and separator and path):
        raise TrainingFailed(f"--pretrained takes ARCH=FILE, not {pair!r}.")
    return arch, path


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [padded(first, widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
