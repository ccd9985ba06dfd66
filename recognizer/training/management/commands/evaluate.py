"""`manage.py evaluate`: how good a model is on a folder of photos."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from recognizer.training.complaints import in_a_sentence

EXAMPLES = """examples:
  python manage.py evaluate fruit photos/fruit-test
  python manage.py evaluate media/runs/waste/artifact waste-test.zip --out waste-test
  python manage.py evaluate media/runs/waste photos/waste --split media/runs/waste
  python manage.py evaluate starters/fruit photos/holidays --engine torch --precision float32

ARTIFACT is an artifact's folder, a run's folder, or the name of a model that serves. DIR is a folder with a folder
of photos for each class, a zip of one, or a CSV of path,label. Photos in folders that are no class of the model, or
in none, count as strangers. --out gets report.html, metrics.json, predictions.csv (path,label,predicted,score,known)
and figures/, every figure of the report as JSON.
"""


class Command(BaseCommand):
    help = "Answer a folder of photos as the service would, and report how good the answers are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        from recognizer.training.answering import add_engine_options, add_test_option

        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("artifact", metavar="ARTIFACT")
        parser.add_argument("data", type=Path, metavar="DIR")
        parser.add_argument("--out", type=Path, help="folder for the results (default: DIR-evaluation, here)")
        add_test_option(parser)
        add_engine_options(parser)

    def handle(self, *, artifact: str, data: Path, **options: Any) -> None:
        with in_a_sentence():
            self._evaluate(artifact, data, **options)

    def _evaluate(
        self, name: str, data: Path, *, split: Path | None, out: Path | None, verbosity: int, **options: Any
    ) -> None:
        from classifier_core.evaluation import open_photos
        from classifier_core.reports import evaluation
        from recognizer.training import answering

        artifact = answering.find_artifact(name)
        spec = answering.engine_spec(artifact, **options)
        title = answering.name_of(data, split)
        out = out or Path(f"{title}-evaluation")
        with open_photos(data, split=split) as (root, photos):
            answered = answering.answer(artifact, photos, spec, bar=verbosity > 0)
            groups = answering.near_duplicates(answered)
            doubts = answering.doubts([artifact], split, root)
            metrics = evaluation.write_evaluation(answered, out, name=title, root=root, groups=groups)
        for sentence in [*doubts, *evaluation.sentences(metrics)]:
            self.stdout.write(sentence)
        self.stdout.write(f"{spec}. Look at {out / evaluation.REPORT}")
