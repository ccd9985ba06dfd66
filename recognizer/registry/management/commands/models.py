"""`manage.py models`: list, show, import and time model versions."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import prefetch_related_objects

from classifier_core.errors import ClassifierError, EngineUnavailable
from classifier_core.hardware import describe_hardware
from recognizer.registry.models import EngineTiming, ModelVersion, RegisteredModel
from recognizer.registry.promotion import PromotionRefused, promote
from recognizer.registry.taxonomy import with_label_names
from recognizer.storage import StorageUnavailable

EXAMPLES = """examples:
  python manage.py models list
  python manage.py models show fruit
  python manage.py models import my_artifact/ --model fruit
  python manage.py models import my_artifact/ --model cars --promote
  python manage.py models time            (what serves, of every model)
  python manage.py models time fruit
  python manage.py models hardware
"""


class Command(BaseCommand):
    help = "List, show, import and time models."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="every registered model and what serves")
        verbs.add_parser("starters", help="import and promote the starter models that are missing")
        verbs.add_parser("hardware", help="what this machine has, and whether it has what the settings name")
        timing = verbs.add_parser(
            "time",
            help="time what serves on this machine: engine x precision x threads x batch",
            description="Times each configuration for some seconds and keeps the table. Workers of this machine then "
            "run the fastest that answers like the reference.",
            epilog="example: python manage.py models time fruit garbage",
        )
        timing.add_argument("names", nargs="*", metavar="NAME", help="of a model; none: all that serve")
        show = verbs.add_parser("show", help="one model: versions, figures, promotions")
        show.add_argument("name")
        importing = verbs.add_parser("import", help="make an artifact folder a version of a model")
        importing.add_argument("folder", type=Path, help="holds artifact.json and model.safetensors")
        importing.add_argument("--model", required=True, help="name of the registered model; made if missing")
        importing.add_argument("--description", default="", help="for a new model, shown in the model picker")
        importing.add_argument("--promote", action="store_true", help="let it serve at once, if the gate lets it")

    def handle(self, *, verb: str, **options: Any) -> None:
        verbs: dict[str, Callable[..., None]] = {
            "list": self._list,
            "show": self._show,
            "import": self._import,
            "starters": self._starters,
            "time": self._time,
            "hardware": self._hardware,
        }
        verbs[verb](**options)

    def _list(self, **_: Any) -> None:
        for model in RegisteredModel.objects.all():
            desired = model.desired_version()
            serving = f"v{desired.number} {desired.architecture}" if desired else "nothing promoted"
            self.stdout.write(f"{model.name:20} {serving:36} {model.versions.count()} version(s)")

    def _show(self, *, name: str, **_: Any) -> None:
        try:
            model = RegisteredModel.named(name)
        except RegisteredModel.DoesNotExist as missing:
            raise CommandError(str(missing)) from missing
        self.stdout.write(f"{model.name}: {model.description}")
        for version in model.versions.all():
            for line in _described(version):
                self.stdout.write(f"  {line}")
        prefetch_related_objects([model], "labels")
        for promotion in model.promotions.select_related("version"):
            words = with_label_names(f"{promotion.gate} {promotion.reason}".strip(), model)
            self.stdout.write(f"  {promotion.created_at:%Y-%m-%d %H:%M} {promotion.kind} {promotion.version}: {words}")

    def _time(self, *, names: list[str], **_: Any) -> None:
        from recognizer.registry.timings import measure

        try:
            for version in _serving(names):
                rows = measure(version)
                self.stdout.write(f"{version}, {version.architecture}, on {rows[0].hardware}:")
                for line in _in_columns(rows):
                    self.stdout.write(f"  {line}")
        except (RegisteredModel.DoesNotExist, ClassifierError, StorageUnavailable) as error:
            raise CommandError(str(error)) from error

    def _hardware(self, **_: Any) -> None:
        from classifier_core.engines import require_here
        from recognizer.registry.configurations import named_spec

        self.stdout.write(f"This machine: {describe_hardware()}.")
        try:
            require_here(named_spec())
        except EngineUnavailable as missing:
            raise CommandError(f"The settings ask for {named_spec()}. {missing}") from missing
        self.stdout.write(f"The settings ask for {named_spec()} or better, which is there.")

    def _import(self, *, folder: Path, model: str, description: str, promote: bool, **_: Any) -> None:
        from recognizer.registry.imports import import_artifact  # loads torch

        try:
            version, is_new = import_artifact(folder, model_name=model, description=description)
        except (ClassifierError, StorageUnavailable) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Imported {version}." if is_new else f"Already there: {version}. Its files are in order.")
        if promote:
            self._promote(version)

    def _promote(self, version: Any) -> None:
        try:
            gate = promote(version, by=None).gate
        except PromotionRefused as refusal:
            raise CommandError(with_label_names(str(refusal), version.model)) from refusal
        self.stdout.write(f"Promoted. {with_label_names(gate, version.model)}")

    def _starters(self, **_: Any) -> None:
        from recognizer.registry.starters import import_starters

        try:
            for version in import_starters(self.stdout.write):
                self.stdout.write(f"  {version} serves.")
        except (ClassifierError, OSError) as error:
            raise CommandError(f"A starter model cannot be imported: {error}") from error


def _described(version: ModelVersion) -> Iterator[str]:
    yield f"v{version.number} {version.architecture} {version.artifact_sha256[:12]} {version.source}".rstrip()
    if version.skipped_checks:
        yield f"  not checked: {version.skipped_checks}"
    for what, figures in version.parity.items():
        yield f"  parity, {what}: {_parity_in_words(figures)}"
    for row in version.evaluations.all():
        source = f" ({row.source})" if row.source else ""
        yield f"  accuracy {row.accuracy:.4f} on {row.num_images} photos of {row.dataset}{source}"


def _serving(names: list[str]) -> list[ModelVersion]:
    """What serves of these models, or of all. Raises DoesNotExist."""
    chosen = [RegisteredModel.named(name) for name in names] or RegisteredModel.objects.all()
    found = [(model, model.desired_version()) for model in chosen]
    if idle := [model.name for model, version in found if version is None and model.name in names]:
        raise RegisteredModel.DoesNotExist(f"Nothing serves of {', '.join(idle)}. Promote a version first.")
    return [version for _, version in found if version]


def _in_columns(rows: Sequence[EngineTiming]) -> Iterator[str]:
    yield f"{'':2}{'runs as':32}{'threads':>8}{'batch':>7}{'images/s':>10}{'one, ms':>9}  parity"
    for row in rows:
        mark = "> " if row.is_chosen else "  "
        figures = f"{row.images_per_second:10.1f}{row.image_ms:9.2f}" if not row.error else f"{'-':>10}{'-':>9}"
        words = f"{row.get_parity_display()} {row.error}".rstrip()
        yield f"{mark}{row.runs_as:32}{row.num_threads:>8}{row.batch_size:>7}{figures}  {words}"


def _parity_in_words(figures: dict[str, float]) -> str:
    shares = f"top-1 {figures['top1_agreement']:.1%}, known {figures.get('known_agreement', 1):.1%} the same"
    return f"{shares}, scores at most {figures['score_difference']:.2g} apart, {figures['num_pictures']} pictures"
