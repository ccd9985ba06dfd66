"""`manage.py compare`: which of two models is better on a folder of photos, and whether that is luck."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.core.management.base import BaseCommand

from classifier_core.errors import ClassifierError
from recognizer.training.complaints import in_a_sentence
from recognizer.training.tables import padded

if TYPE_CHECKING:
    from classifier_core.comparison import Comparison
    from classifier_core.evaluation import Answered

EXAMPLES = """examples:
  python manage.py compare fruit media/runs/fruit-mobilenet_v2/artifact photos/fruit-test
  python manage.py compare garbage media/runs/waste photos/waste --split media/runs/waste
  python manage.py compare old/artifact new/artifact waste-test.zip --out old-and-new

A and B are artifact folders, run folders, or names of models that serve. Only photos of classes that both know
count. --out gets report.html and comparison.json.
"""


class Command(BaseCommand):
    help = "Compare two models photo by photo: difference with its interval, McNemar's test, gains and losses."

    def add_arguments(self, parser: ArgumentParser) -> None:
        from recognizer.training.answering import add_engine_options, add_test_option

        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("a", metavar="A")
        parser.add_argument("b", metavar="B")
        parser.add_argument("data", type=Path, metavar="DIR")
        parser.add_argument("--out", type=Path, help="folder for the results (default: DIR-comparison, here)")
        add_test_option(parser)
        add_engine_options(parser)

    def handle(self, *, a: str, b: str, data: Path, **options: Any) -> None:
        with in_a_sentence():
            self._compare((a, b), data, **options)

    def _compare(
        self,
        names: tuple[str, str],
        data: Path,
        *,
        split: Path | None,
        out: Path | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        from classifier_core import durable
        from classifier_core.comparison import compare_answers
        from classifier_core.evaluation import open_photos, strange_labels
        from classifier_core.reports.comparison import write_comparison
        from recognizer.training import answering, learned

        artifacts = [answering.find_artifact(name) for name in names]
        title = answering.name_of(data, split)
        out = out or Path(f"{title}-comparison")
        with open_photos(data, split=split) as (root, photos):
            for one in artifacts:
                strange_labels(one, photos)
            doubts = learned.doubts(artifacts, photos, root)
            a, b = (
                answering.answer(one, photos, answering.engine_spec(one, **options), bar=verbosity > 0)
                for one in artifacts
            )
            if a.photos != b.photos:
                raise ClassifierError("One of the models cannot read photos that the other can. Take these out first.")
            labels, targets, indices = _shared(a, b)
            ours = targets >= 0
            if not ours.any():
                raise ClassifierError(_nothing_shared(a, b))
            groups = np.asarray(answering.near_duplicates(a))[ours].tolist()
            answers = [index[ours] for index in indices]
            found = compare_answers(targets[ours], *answers, labels=labels, groups=groups)
            out.mkdir(parents=True, exist_ok=True)
            durable.replace(out / "comparison.json", [durable.as_json(found.to_dict())])
            gained, lost = _pictures(a, b, targets=targets, answers=indices)
            write_comparison(found, out / "report.html", names=names, data=title, gained=gained, lost=lost)
        for line in [*doubts, *_told(found)]:
            self.stdout.write(line)
        self.stdout.write(f"Look at {out / 'report.html'}")


def _shared(a: "Answered", b: "Answered") -> tuple[list[str], Any, list[Any]]:
    """The labels both know, each photo's true index among them (-1: another), and both models' answers."""
    labels = [key for key in a.keys if key in b.keys]
    index = {label: number for number, label in enumerate(labels)}
    of_a = np.array([index.get(a.keys[target], -1) if target >= 0 else -1 for target in a.targets], np.int64)
    # An answer that only one model can give counts as wrong for it, as it would in use.
    answers = [np.array([index.get(one.scores[0].label, -1) for one in each.answers], np.int64) for each in (a, b)]
    return labels, of_a, answers


def _nothing_shared(a: "Answered", b: "Answered") -> str:
    from classifier_core.evaluation import listed

    knows = " ".join(f"{name} knows {listed(one.keys)}." for name, one in (("A", a), ("B", b)))
    return f"No photo shows a class that both models know. {knows} Name models and photos that share some."


def _pictures(
    a: "Answered", b: "Answered", *, targets: Any, answers: list[Any]
) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    right = [each == targets for each in answers]

    def told(at: int) -> tuple[Path, str]:
        best = [each.answers[at].scores[0] for each in (a, b)]
        said = "\n".join(f"{name}: {one.label}, {one.score:.2f}" for name, one in zip("AB", best, strict=True))
        return a.photos[at], f"{a.labels[at]}\n{said}"

    ours = targets >= 0
    gained, lost = np.flatnonzero(ours & right[1] & ~right[0]), np.flatnonzero(ours & right[0] & ~right[1])
    return [told(int(at)) for at in gained], [told(int(at)) for at in lost]


def _told(found: "Comparison") -> Iterator[str]:
    low, high = found.interval
    yield f"A {found.accuracy_a:.4f}, B {found.accuracy_b:.4f} on {found.num_images} photos of the same classes."
    yield f"B - A = {found.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f})."
    yield f"Only B right: {found.gained}; only A right: {found.lost}; McNemar p = {found.p_value:.3g}."
    for one in found.classes:
        if one.gained or one.lost:
            yield f"  {padded(one.label, 20)} {one.recall_a:.3f} -> {one.recall_b:.3f}  (+{one.gained} -{one.lost})"
    yield found.verdict
