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
of photos for each class, a zip of one, or a CSV of path,label; a folder may go by the key of its class or by a name in
any language. Photos in folders that are no class of the model, or in none, count as strangers. --out gets report.html,
metrics.json, predictions.csv (path,label,predicted,score,known) and figures/, every figure of the report as JSON.
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
        parser.add_argument(
            "--unlabelled",
            action="store_true",
            help="folders are no labels: the photos show none of the classes, or any",
        )
        add_test_option(parser)
        add_engine_options(parser)

    def handle(self, *, artifact: str, data: Path, **options: Any) -> None:
        with in_a_sentence():
            self._evaluate(artifact, data, **options)

    def _evaluate(
        self,
        name: str,
        data: Path,
        *,
        unlabelled: bool,
        split: Path | None,
        out: Path | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        from classifier_core.evaluation import open_photos, strange_labels
        from classifier_core.reports import evaluation
        from recognizer.training import answering, learned

        artifact = answering.find_artifact(name)
        spec = answering.engine_spec(artifact, **options)
        title = answering.name_of(data, split)
        out = out or Path(f"{title}-evaluation")
        with open_photos(data, split=split) as (root, found):
            doubts = learned.doubts([artifact], found, root)
            photos = [(path, "") for path, _ in found] if unlabelled else found
            strange = strange_labels(artifact, photos, may_lack=True)
            answered = answering.answer(artifact, photos, spec, bar=verbosity > 0)
            groups = answering.near_duplicates(answered)
            metrics = evaluation.write_evaluation(answered, out, name=title, root=root, groups=groups)
        for sentence in [*doubts, *_on_folders(strange), *evaluation.sentences(metrics)]:
            self.stdout.write(sentence)
        self.stdout.write(f"{spec}. Look at {out / evaluation.REPORT}")


def _on_folders(strange: list[str]) -> list[str]:
    from classifier_core.evaluation import listed

    if not strange:
        return []
    are = "1 folder is" if len(strange) == 1 else f"{len(strange)} folders are"
    return [f"{are} no class of the model, and the photos count as strangers: {listed(strange)}."]
