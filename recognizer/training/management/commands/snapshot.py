"""`manage.py snapshot`: freeze what a model may learn from, and look at what was frozen."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recognizer.registry.models import RegisteredModel
from recognizer.registry.sentences import with_names
from recognizer.training.asking import ask_for_snapshot
from recognizer.training.candidates import REASONS
from recognizer.training.complaints import in_a_sentence, progress_line
from recognizer.training.models import DatasetSnapshot, LeaseLost, Part
from recognizer.training.options import SnapshotOptions

EXAMPLES = """examples:
  python manage.py snapshot create fruit
  python manage.py snapshot create fruit --since 2026-01-01 --max-per-class 500 --max-per-uploader 50
  python manage.py snapshot list fruit
  python manage.py snapshot show fruit 3
  python manage.py snapshot write fruit 3 /tmp/fruit-3

The same photos, reviews and options give the same content hash. A photo keeps the part of the split that it got first;
those of the test part are in every snapshot.
"""


class Command(BaseCommand):
    help = "Freeze base photos and reviewed recognitions of a model into a dataset snapshot, or show one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        verbs = parser.add_subparsers(dest="verb", required=True)
        creating = verbs.add_parser("create", help="freeze a new snapshot, here and now")
        _add_options(creating)
        verbs.add_parser("list", help="the snapshots of a model").add_argument("model", nargs="?")
        showing = verbs.add_parser("show", help="classes, sources, what was left out, warnings")
        writing = verbs.add_parser("write", help="write the photos as train, val and test folders")
        for verb in (showing, writing):
            verb.add_argument("model")
            verb.add_argument("number", type=int)
        writing.add_argument("folder", type=Path, help="a new folder; remove it after use: erasures do not reach it")

    def handle(self, *, verb: str, **options: Any) -> None:
        verbs: dict[str, Callable[..., None]] = {
            "create": self._create,
            "list": self._list,
            "show": self._show,
            "write": self._write,
        }
        with in_a_sentence():
            verbs[verb](**options)

    def _create(self, *, model: str, **options: Any) -> None:
        from recognizer.training.snapshots import freeze  # loads numpy

        chosen = SnapshotOptions(**{name: options[name] for name in SnapshotOptions.__dataclass_fields__})
        snapshot = ask_for_snapshot(_model(model), chosen, by=None, rings=False)
        if not snapshot.start():
            raise CommandError(f"Another snapshot of {model} is being frozen. A worker freezes this one after it.")
        try:
            with progress_line(self.stderr) as say:
                freeze(snapshot, say=say)
        except LeaseLost as lost:
            raise CommandError(str(lost)) from lost
        except BaseException:
            snapshot.fail("The command was stopped.")
            raise
        if snapshot.status == DatasetSnapshot.Status.FAILED:
            raise CommandError(snapshot.error)
        self._show(model=model, number=snapshot.number)

    def _list(self, *, model: str | None, **_: Any) -> None:
        rows = DatasetSnapshot.objects.select_related("model")
        for row in rows.filter(model=_model(model)) if model else rows:
            what = f"{row.num_photos} photos, {row.content_sha256[:12]}" if row.content_sha256 else row.error
            self.stdout.write(f"{row.model.name} {row.number}: {row.status}, {row.created_at:%Y-%m-%d %H:%M}, {what}")

    def _show(self, *, model: str, number: int, **_: Any) -> None:
        for line in _described(_snapshot(model, number)):
            self.stdout.write(line)

    def _write(self, *, model: str, number: int, folder: Path, **_: Any) -> None:
        from recognizer.training.export import materialise  # loads numpy

        if folder.exists():
            raise CommandError(f"{folder} is there already. Name a new folder; nothing is ever overwritten.")
        written = materialise(_snapshot(model, number), folder)
        for name, part in written.split.parts().items():
            self.stdout.write(f"{len(part.photos)} photos are in {folder / name}.")
        if written.num_erased or written.num_gone:
            self.stdout.write(f"{written.num_erased} were erased since, the files of {written.num_gone} are gone.")


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="name of the registered model")
    parser.add_argument("--no-base-photos", dest="base_photos", action="store_false", help="leave base photos out")
    parser.add_argument("--no-reviews", dest="reviews", action="store_false", help="leave reviewed recognitions out")
    parser.add_argument("--since", type=date.fromisoformat, help="uploads of this day or later, such as 2026-01-31")
    parser.add_argument("--until", type=date.fromisoformat, help="uploads of this day or before")
    parser.add_argument("--max-per-class", type=int, help="photos that a class may have")
    parser.add_argument("--max-per-uploader", type=int, help="photos of a class that one uploader may have")
    parser.add_argument("--val-share", type=float, default=0.15, help="of new photos, for choosing (default: 0.15)")
    parser.add_argument("--test-share", type=float, default=0.15, help="of new photos, for judging (default: 0.15)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of what caps keep (default: 0)")
    parser.add_argument(
        "--no-features", dest="features", action="store_false", help="find what looks alike without a network: faster"
    )


def _model(name: str) -> RegisteredModel:
    try:
        return RegisteredModel.named(name)
    except RegisteredModel.DoesNotExist as missing:
        raise CommandError(str(missing)) from missing


def _snapshot(model: str, number: int) -> DatasetSnapshot:
    found = DatasetSnapshot.objects.filter(model=_model(model), number=number).select_related("model").first()
    if found is None:
        raise CommandError(f"{model} has no snapshot {number}. See: manage.py snapshot list {model}")
    return found


def _described(snapshot: DatasetSnapshot) -> Iterator[str]:
    if snapshot.status != DatasetSnapshot.Status.READY:
        yield f"{snapshot} is {snapshot.status}. {snapshot.error or snapshot.progress}".rstrip()
        return
    yield f"{snapshot}: {snapshot.num_photos} photos, content {snapshot.content_sha256}"
    width = max(map(len, snapshot.counts))
    yield f"{'':{width}} " + " ".join(f"{part:>7}" for part in Part.values)
    for label, parts in snapshot.counts.items():
        yield f"{label:{width}} " + " ".join(f"{parts[part]:7}" for part in Part.values)
    yield f"{snapshot.test_state}"
    for reason, number in snapshot.left_out.items():
        yield f"{number} left out: {REASONS[reason]}"
    for warning in (with_names(words, {}) for words in snapshot.warnings):
        yield f"- {warning}"
