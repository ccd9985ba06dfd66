"""`manage.py rollback`: take the newest promotion back."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recognizer.registry.models import RegisteredModel
from recognizer.registry.promotion import PromotionRefused, rollback


class Command(BaseCommand):
    help = "Let the version serve again that served before."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = 'example:\n  python manage.py rollback fruit --reason "mistakes kiwis for potatoes"\n'
        parser.add_argument("model", help="name of the registered model")
        parser.add_argument("--reason", default="", help="kept on the row")

    def handle(self, *, model: str, reason: str, **_: Any) -> None:
        try:
            row = RegisteredModel.named(model)
            self.stdout.write(f"{rollback(row, by=None, reason=reason).version} serves again.")
        except (RegisteredModel.DoesNotExist, PromotionRefused) as refusal:
            raise CommandError(str(refusal)) from refusal
