"""`manage.py promote`: let a version serve."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recognizer.registry.models import ModelVersion, RegisteredModel
from recognizer.registry.promotion import PromotionRefused, promote
from recognizer.registry.taxonomy import with_label_names

EXAMPLES = """examples:
  python manage.py promote fruit 3
  python manage.py promote fruit 3 --force --reason "new class, old test photos"
"""


class Command(BaseCommand):
    help = "Let a model version serve, if it is no worse than what serves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("model", help="name of the registered model")
        parser.add_argument("version", type=int, help="its version number")
        parser.add_argument("--reason", default="", help="kept on the row")
        parser.add_argument("--force", action="store_true", help="go past the gate; needs --reason")

    def handle(self, *, model: str, version: int, reason: str, force: bool, **_: Any) -> None:
        try:
            row = RegisteredModel.named(model).versions.get(number=version)
        except RegisteredModel.DoesNotExist as missing:
            raise CommandError(str(missing)) from missing
        except ModelVersion.DoesNotExist as missing:
            words = f"There is no version {version} of {model!r}. `models show {model}` lists them."
            raise CommandError(words) from missing
        try:
            promotion = promote(row, by=None, reason=reason, force=force)
        except PromotionRefused as refusal:
            raise CommandError(with_label_names(str(refusal), row.model)) from refusal
        self.stdout.write(f"{row} serves. {with_label_names(promotion.gate, row.model)}")
