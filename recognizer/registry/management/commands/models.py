"""`manage.py models`: list, show and import model versions."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from classifier_core.errors import ClassifierError
from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.registry.promotion import PromotionRefused, promote
from recognizer.storage import StorageUnavailable

EXAMPLES = """examples:
  python manage.py models list
  python manage.py models show fruit
  python manage.py models import my_artifact/ --model fruit
  python manage.py models import my_artifact/ --model cars --promote
"""


class Command(BaseCommand):
    help = "List, show and import models."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="every registered model and what serves")
        verbs.add_parser("starters", help="import and promote the starter models that are missing")
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
        for promotion in model.promotions.select_related("version"):
            words = f"{promotion.gate} {promotion.reason}".strip()
            self.stdout.write(f"  {promotion.created_at:%Y-%m-%d %H:%M} {promotion.kind} {promotion.version}: {words}")

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
            self.stdout.write(f"Promoted. {promote(version, by=None).gate}")
        except PromotionRefused as refusal:
            raise CommandError(str(refusal)) from refusal

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


def _parity_in_words(figures: dict[str, float]) -> str:
    shares = f"top-1 {figures['top1_agreement']:.1%}, known {figures.get('known_agreement', 1):.1%} the same"
    return f"{shares}, scores at most {figures['score_difference']:.2g} apart, {figures['num_pictures']} pictures"
