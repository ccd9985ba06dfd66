"""`manage.py dataset`: look at a folder of photos, put it in order, split it."""

import math
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from classifier_core.errors import DatasetInvalid
from recognizer.training.alike import add_features_options, group_alike, looking_artifact
from recognizer.training.complaints import in_a_sentence
from recognizer.training.tables import padded, width_of

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from classifier_core.datasets.changes import Copy, Move
    from classifier_core.datasets.folder import Dataset
    from classifier_core.datasets.splits import Split

    Verbs = _SubParsersAction[Any]

EXAMPLES = """examples:
  python manage.py dataset inspect photos/fruit
  python manage.py dataset inspect waste.zip --artifact runs/waste/artifact --report waste.html
  python manage.py dataset import labels.csv photos/cars
  python manage.py dataset import photos/cars --model cars --new-model
  python manage.py dataset clean photos/cars --min-side 100 --max-aspect 2 --duplicates
  python manage.py dataset clean photos/cars --min-side 100 --max-aspect 2 --duplicates --apply
  python manage.py dataset balance photos/cars --most 200 --least 100 --apply
  python manage.py dataset augment photos/cars --least 100 --apply
  python manage.py dataset augment waste.zip --least 100 --out photos/waste --apply
  python manage.py dataset split photos/cars photos/cars-split

DATA is a folder with a folder of photos for each class, a zip of one, or a CSV of path,label. clean, balance and
augment change a folder, or with --out a copy of it, of a zip or of what a CSV names: they only say what they would do
until --apply, and delete nothing. The lists of split name photos below the folder, inside the zip, or as the CSV does.
"""
DATA = "a folder with a folder of photos for each class, a zip of one, or a CSV of path,label"
CHANGES = ("clean", "balance", "augment")


class Command(BaseCommand):
    help = "Look at photos in a folder for each class, put them in order, split them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        verbs = parser.add_subparsers(dest="verb", required=True)
        _add_inspect(verbs)
        _add_clean(verbs)
        _add_balance(verbs)
        _add_augment(verbs)
        _add_split(verbs)
        _add_import(verbs)

    def handle(self, *, verb: str, data: Path, **options: Any) -> None:
        verbs: dict[str, Callable[..., None]] = {
            "inspect": self._inspect,
            "clean": self._clean,
            "balance": self._balance,
            "augment": self._augment,
            "split": self._split,
            "import": self._import,
        }
        from classifier_core.datasets.archive import open_dataset

        min_labels = 1 if options.get("model") else 2  # one class can be added to those that a model has
        with in_a_sentence(), open_dataset(data, min_labels=min_labels) as dataset:
            if verb == "balance":
                _check_limits(options["most"], options["least"])  # before minutes of copying
            subject = self._changeable(data, dataset, **options) if verb in CHANGES else (data, dataset)
            verbs[verb](*subject, **options)

    def _changeable(
        self, data: Path, dataset: "Dataset", *, out: Path | None, apply: bool, **_: Any
    ) -> "tuple[Path, Dataset]":
        """The folder to change: what was named, or a copy of it in a new folder; that is made when it is changed."""
        from classifier_core.datasets.changes import import_dataset
        from classifier_core.datasets.folder import load_dataset

        if out is None and data.is_dir():
            return data, dataset
        if out is None:
            raise DatasetInvalid(f"{data} stays as it is. Name a new folder for the changed photos with --out.")
        if not apply:
            return out, dataset
        left_out = len(dataset.photos) - len(import_dataset(dataset, out, skip_unreadable=True).photos)
        words = f" {left_out} that cannot be read were left out." if left_out else ""
        self.stdout.write(f"{len(dataset.photos) - left_out} photos were copied to {out}.{words}")
        return out, load_dataset(out)

    def _inspect(
        self,
        data: Path,
        dataset: "Dataset",
        *,
        artifact: Path | None,
        features: bool,
        split: Path | None,
        report: Path | None,
        seed: int,
        **_: Any,
    ) -> None:
        from classifier_core.datasets.inspection import inspect_dataset
        from classifier_core.datasets.inspection_report import check_report, write_report

        name = data.resolve().stem
        path = report or Path(f"inspection-{name}.html")
        check_report(path)  # before minutes of looking
        seen_by = looking_artifact(artifact) if features else None
        found = inspect_dataset(dataset, artifact=seen_by, split=_existing_split(dataset, split), seed=seed)
        beside = write_report(found, dataset, path, name=name, seed=seed)
        self.stdout.write(f"{found.num_photos} photos of {len(found.counts)} classes.")
        for sentence in found.advice:
            self.stdout.write(f"- {sentence}")
        self.stdout.write(f"The report with pictures is {path}; all figures are in {beside}.")

    def _clean(
        self,
        data: Path,
        dataset: "Dataset",
        *,
        min_side: int,
        max_aspect: float,
        duplicates: bool,
        **options: Any,
    ) -> None:
        from classifier_core.datasets.changes import plan_cleaning

        moves = plan_cleaning(dataset, min_side=min_side, max_aspect=max_aspect, duplicates=duplicates)
        self._move(data, dataset, moves, **options)

    def _balance(
        self, data: Path, dataset: "Dataset", *, most: int | None, least: int | None, seed: int, **options: Any
    ) -> None:
        from classifier_core.datasets.changes import plan_capping, plan_oversampling

        if least is not None:
            self._copy(plan_oversampling(dataset, least=least), dataset, **options)
        if most is not None:
            self._move(data, dataset, plan_capping(dataset, most=most, seed=seed), **options)

    def _augment(self, data: Path, dataset: "Dataset", *, least: int, **options: Any) -> None:
        from classifier_core.datasets.changes import plan_flips

        self._copy(plan_flips(dataset, least=least), dataset, **options)

    def _split(
        self, data: Path, dataset: "Dataset", *, folder: Path, features: bool, artifact: Path | None, **options: Any
    ) -> None:
        from classifier_core.datasets.disk import writing
        from classifier_core.datasets.splits import split_dataset, warnings_of, write_lists

        previous = _previous(dataset, folder)
        if previous:
            keep = "their photos keep their parts; --val, --test and --seed only place new ones"
            self.stdout.write(f"{folder} has lists already: {keep}.")
        groups = _groups(dataset, features=features, artifact=artifact)
        shares = {name: options[name] for name in ("val", "test", "seed")}
        split = split_dataset(dataset, groups=groups, previous=previous, **shares)
        with writing(str(folder)):
            write_lists(split, folder)
        for line in (*_split_in_words(split, dataset, groups), *warnings_of(split)):
            self.stdout.write(line)
        self.stdout.write(f"train.txt, val.txt and test.txt are in {folder}. Train with: --split {folder}")

    def _import(
        self,
        data: Path,
        dataset: "Dataset",
        *,
        target: Path | None,
        model: str | None,
        skip_unreadable: bool,
        **options: Any,
    ) -> None:
        from classifier_core.datasets.changes import import_dataset

        if (target is None) == (model is None):
            raise DatasetInvalid("Name a new folder for the photos, or with --model the model that gets them.")
        if target is None:
            self._import_base_photos(dataset, str(model), **options)
            return
        imported = import_dataset(dataset, target, skip_unreadable=skip_unreadable)
        left_out = len(dataset.photos) - len(imported.photos)
        words = f" {left_out} that cannot be read were left out." if left_out else ""
        self.stdout.write(f"{len(imported.photos)} photos of {len(imported.labels)} classes are in {target}.{words}")

    def _import_base_photos(
        self, dataset: "Dataset", name: str, *, add_classes: bool, new_model: bool, **_: Any
    ) -> None:
        from recognizer.training.complaints import progress_line
        from recognizer.training.importing import import_base_photos, model_named

        model = model_named(name, is_new=new_model)
        with progress_line(self.stderr) as say:
            imported = import_base_photos(dataset, model, adds_classes=add_classes or new_model, by=None, say=say)
        for problem in imported.problems:
            self.stderr.write(problem)
        known = f" {imported.num_known} were there already." if imported.num_known else ""
        self.stdout.write(f"{imported.num_added} base photos are new in {model.name}.{known}")

    def _move(
        self,
        data: Path,
        dataset: "Dataset",
        moves: "Sequence[Move]",
        *,
        apply: bool,
        quarantine: Path | None,
        **_: Any,
    ) -> None:
        from classifier_core.datasets.changes import move_out

        folder = quarantine or data.resolve().with_name(f"{data.resolve().name}-quarantine")
        if not moves:
            self.stdout.write("Nothing to move out.")
            return
        if not apply:
            for move in moves:
                self.stdout.write(f"{dataset.name_of(move.photo)}: {move.reason}")
            self.stdout.write(f"{len(moves)} of {len(dataset.photos)} photos would move to {folder}: run with --apply.")
            return
        written = move_out(moves, dataset=dataset, quarantine=folder)
        self.stdout.write(f"{len(moves)} of {len(dataset.photos)} photos moved to {folder}; {written} says why.")

    def _copy(self, copies: "Sequence[Copy]", dataset: "Dataset", *, apply: bool, **_: Any) -> None:
        from classifier_core.datasets.changes import write_copies

        counts = Counter(copy.source.parent.name for copy in copies)
        for name, count in sorted(counts.items()):
            self.stdout.write(f"{name}: {count} more")
        if apply:
            write_copies(copies)
        done = "written" if apply else "would be written: run with --apply"
        self.stdout.write(f"{len(copies)} photos {done}." if copies else "Nothing to write.")


def _add_inspect(verbs: "Verbs") -> None:
    words = "write a report with pictures and advice; changes nothing"
    verb = _add_verb(verbs, "inspect", words)
    verb.add_argument("--report", type=Path, help="the HTML file to write; default: inspection-NAME.html")
    verb.add_argument("--split", type=Path, help="folder with train.txt, val.txt and test.txt, to look across")
    verb.add_argument("--seed", type=int, default=0)
    add_features_options(verb)


def _add_clean(verbs: "Verbs") -> None:
    verb = _add_verb(verbs, "clean", "move out photos that cannot be read, and those outside of limits")
    verb.add_argument("--min-side", type=_side, default=0, help="pixels that the shorter side must have")
    verb.add_argument("--max-aspect", type=_aspect, default=0, help="how many times as long as wide a photo may be")
    verb.add_argument("--duplicates", action="store_true", help="keep one of photos that are the same or nearly")
    _add_quarantine(verb)
    _add_apply(verb)


def _add_balance(verbs: "Verbs") -> None:
    words = "move surplus photos of large classes out, copy those of small ones"
    verb = _add_verb(verbs, "balance", words)
    verb.add_argument("--most", type=_count, help="photos that a class may have")
    verb.add_argument("--least", type=_count, help="photos that a class shall have; copies fill it up")
    verb.add_argument("--seed", type=int, default=0)
    _add_quarantine(verb)
    _add_apply(verb)


def _add_augment(verbs: "Verbs") -> None:
    verb = _add_verb(verbs, "augment", "write mirror images for small classes")
    verb.add_argument("--least", type=_count, required=True, help="photos that a class shall have")
    _add_apply(verb)


def _add_split(verbs: "Verbs") -> None:
    words = "write train.txt, val.txt and test.txt; near-duplicates stay together"
    verb = _add_verb(verbs, "split", words)
    verb.add_argument(
        "folder", type=Path, help="for the lists; when they are there, photos stay in their part and new ones are added"
    )
    verb.add_argument("--val", type=float, default=0.15, help="share of the photos, 0.15 unless told")
    verb.add_argument("--test", type=float, default=0.15, help="share of the photos, 0.15 unless told")
    verb.add_argument("--seed", type=int, default=0)
    add_features_options(verb)


def _add_import(verbs: "Verbs") -> None:
    words = "copy a checked folder, zip or CSV into a new folder, or give it to a model"
    verb = _add_verb(verbs, "import", words)
    verb.add_argument("target", type=Path, nargs="?", help="the new folder")
    verb.add_argument("--skip-unreadable", action="store_true", help="leave out what cannot be read")
    verb.add_argument("--model", help="make the photos base photos of this registered model instead")
    verb.add_argument("--add-classes", action="store_true", help="folders that no label is named like become labels")
    verb.add_argument("--new-model", action="store_true", help="make the model and its classes, too")


def _add_verb(verbs: "Verbs", name: str, words: str) -> ArgumentParser:
    verb: ArgumentParser = verbs.add_parser(name, help=words, description=words.capitalize() + ".")
    verb.formatter_class = RawDescriptionHelpFormatter
    verb.epilog = "example:\n" + next(line for line in EXAMPLES.splitlines() if f"dataset {name} " in line)
    verb.add_argument("data", type=Path, help=DATA)
    return verb


def _add_quarantine(verb: ArgumentParser) -> None:
    verb.add_argument("--quarantine", type=Path, help="where photos go; default: a folder beside, NAME-quarantine")


def _add_apply(verb: ArgumentParser) -> None:
    verb.add_argument("--out", type=Path, help="change a copy in this new folder; a zip or a CSV needs one")
    verb.add_argument("--apply", action="store_true", help="do it; without, only say what would be done")


def _count(text: str) -> int:
    return _whole(text, least=1)


def _side(text: str) -> int:
    return _whole(text, least=0)


def _whole(text: str, *, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ArgumentTypeError(f"must be a whole number from {least}")
    return value


def _aspect(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value == 0 or value >= 1):
        raise ArgumentTypeError("must be 1 or more, such as 2 for twice as long as wide; 0 for any")
    return value


def _check_limits(most: int | None, least: int | None) -> None:
    if most is None and least is None:
        raise DatasetInvalid("Say how many photos a class may have: --most, --least, or both.")
    if most is not None and least is not None and least > most:
        raise DatasetInvalid(f"--least {least} is above --most {most}. Give a --least of at most {most}.")


def _existing_split(dataset: "Dataset", folder: Path | None) -> "Split | None":
    from classifier_core.datasets.splits import read_lists, split_of_folders

    return split_of_folders(dataset, is_usable=False) if folder is None else read_lists(folder, dataset.root)


def _previous(dataset: "Dataset", folder: Path) -> "Split | None":
    from classifier_core.datasets.splits import has_lists, read_lists

    return read_lists(folder, dataset.root, skip_gone=True) if has_lists(folder) else None


def _groups(dataset: "Dataset", *, features: bool, artifact: Path | None) -> list[int]:
    from classifier_core.datasets.looks import look_at

    looks = look_at(dataset.photos)
    broken = sum(bool(look.problem) for look in looks)
    if broken:
        raise DatasetInvalid(f"{broken} photos cannot be read. Move them out with `dataset clean --apply`, then split.")
    return group_alike(dataset.photos, looks, features=features, artifact=artifact)


def _split_in_words(split: "Split", dataset: "Dataset", groups: Sequence[int]) -> Iterator[str]:
    width = max(map(width_of, dataset.labels))
    counts = {name: part.count() for name, part in split.parts().items()}
    yield f"{'':{width}} {'train':>7} {'val':>7} {'test':>7}"
    for label in dataset.labels:
        yield f"{padded(label, width)} " + " ".join(f"{count[label]:7}" for count in counts.values())
    yield f"{'':{width}} " + " ".join(f"{sum(count.values()):7}" for count in counts.values())
    yield f"{len(dataset.photos)} photos in {len(set(groups))} groups of near-duplicates; a group is in one part."
    left_out = len(dataset.photos) - sum(sum(count.values()) for count in counts.values())
    if left_out:
        yield f"{left_out} new photos are left out: each resembles photos of two parts and would mix them."
