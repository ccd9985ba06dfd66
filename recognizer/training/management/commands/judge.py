"""`manage.py judge`: whether a version may take the place of what serves, measured here and now."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recognizer.registry.models import Judgement, ModelVersion, RegisteredModel
from recognizer.registry.sentences import with_names
from recognizer.training.complaints import in_a_sentence, progress_line

EXAMPLES = """examples:
  python manage.py judge fruit 3
  python manage.py judge fruit 3 --against 1

The judgement is kept: `manage.py promote` goes by the newest one against what serves.
"""
SIGNS = {"passed": "ok ", "refused": "NO ", "warning": "?  "}


class Command(BaseCommand):
    help = "Judge a model version against what serves, on the model's test photos."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("model", help="name of the registered model")
        parser.add_argument("version", type=int, help="the candidate's number")
        parser.add_argument("--against", type=int, metavar="N", help="another version than what serves")

    def handle(self, *, model: str, version: int, against: int | None, **_: Any) -> None:
        from recognizer.training.judging_versions import judge  # loads a runtime
        from recognizer.training.judgings import ask_for_judgement

        candidate = _version(model, version)
        other = _version(model, against) if against is not None else None
        judging = ask_for_judgement(candidate, against=other, rings=False)
        if not judging.start():
            raise CommandError("A worker was faster. Its judgement is in the admin in a moment.")
        with in_a_sentence(), progress_line(self.stdout) as say:
            judge(judging, say=say)
        if judging.judgement is None:
            raise CommandError(judging.error)
        for line in _told(judging.judgement):
            self.stdout.write(line)


def _version(model: str, number: int) -> ModelVersion:
    try:
        return RegisteredModel.named(model).versions.get(number=number)
    except RegisteredModel.DoesNotExist as missing:
        raise CommandError(str(missing)) from missing
    except ModelVersion.DoesNotExist as missing:
        words = f"There is no version {number} of {model!r}. `models show {model}` lists them."
        raise CommandError(words) from missing


def _told(judgement: Judgement) -> Iterator[str]:
    verdict = "Promote" if judgement.passed else "Refuse"
    yield f"{verdict}: {judgement}, on {judgement.test_state}."
    for rule in judgement.rules:
        yield f"  {SIGNS[rule['outcome']]}{rule['rule']}: {with_names(rule['words'], {})}"
