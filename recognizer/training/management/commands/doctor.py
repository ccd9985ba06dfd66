"""`manage.py doctor`: what is wrong with the photos of a model, and whether they are enough."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recognizer.registry.models import RegisteredModel
from recognizer.training.asking import ask_for_checkup
from recognizer.training.checkup_models import CheckUp, Finding
from recognizer.training.complaints import in_a_sentence, progress_line
from recognizer.training.models import LeaseLost
from recognizer.training.words import about_classes, about_findings, about_the_whole

EXAMPLES = """examples:
  python manage.py doctor fruit
  python manage.py doctor fruit --list 20

The photos are those that the next snapshot would be made of. What is found waits in the admin, below Check-ups.
"""


class Command(BaseCommand):
    help = "Check the photos of a model: wrong labels, copies, leaks, blurred ones; and whether they are enough."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("model", help="name of the registered model")
        parser.add_argument("--list", type=int, default=5, metavar="N", help="findings of each kind (default: 5)")

    def handle(self, *, model: str, **options: Any) -> None:
        from recognizer.training.checkups import check  # loads numpy

        checkup = ask_for_checkup(_model(model), by=None, rings=False)
        if not checkup.start():
            raise CommandError(f"A worker checks the photos of {model} already. See the admin, below Check-ups.")
        try:
            with in_a_sentence(), progress_line(self.stderr) as say:
                check(checkup, say=say)
        except LeaseLost as lost:
            raise CommandError(str(lost)) from lost
        except BaseException:
            checkup.fail("The command was stopped.")
            raise
        if checkup.status == CheckUp.Status.FAILED:
            raise CommandError(checkup.error)
        for line in _described(checkup, shown=options["list"]):
            self.stdout.write(line)


def _model(name: str) -> RegisteredModel:
    try:
        return RegisteredModel.named(name)
    except RegisteredModel.DoesNotExist as missing:
        raise CommandError(str(missing)) from missing


def _described(checkup: CheckUp, *, shown: int) -> Iterator[str]:
    yield f"{checkup}: {checkup.num_photos} photos in {checkup.seconds:g} s"
    for kind in Finding.Kind:
        found = list(checkup.findings.open().filter(kind=kind))
        yield f"{kind.label.capitalize()}: {len(found) or 'none'}"
        for finding in found[:shown]:
            yield f"  {finding.blob_id[:12]} {about_findings(finding)}"
    yield from about_the_whole(checkup)
    yield from about_classes(checkup)
