"""`manage.py retrain`: a model learns from a frozen snapshot, on the train worker or here and now."""

import signal
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from classifier_core.errors import TrainingFailed
from recognizer.registry.models import RegisteredModel
from recognizer.training import run_asking
from recognizer.training.complaints import in_a_sentence
from recognizer.training.models import DatasetSnapshot, LeaseLost
from recognizer.training.run_models import TrainingRun
from recognizer.training.run_options import PRESETS, RunOptions

EXAMPLES = """examples:
  python manage.py retrain fruit
  python manage.py retrain fruit --snapshot 3 --preset quick --now
  python manage.py retrain garbage --start imagenet:1 --arch efficientnet_lite0
  python manage.py retrain fruit --start file:mobilenet_v2.safetensors --arch mobilenet_v2
  python manage.py retrain fruit --start scratch --arch ghostnet_100 --preset thorough
  python manage.py retrain fruit --go-on 4 --now

Freeze a snapshot first (manage.py snapshot create fruit). At the end stands a candidate version with its evaluation;
nothing serves it before it is promoted. `manage.py train` trains from a folder instead, without rows.
"""


class Command(BaseCommand):
    help = "Train a registered model from a frozen snapshot: a candidate version comes of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("model")
        parser.add_argument("--snapshot", type=int, help="its number (default: the newest that is ready)")
        parser.add_argument(
            "--start",
            default="serving",
            help="serving, scratch, MODEL:VERSION, or file:NAME in media/weights (default: serving)",
        )
        parser.add_argument("--arch", default="", help="default: that of the version it starts from")
        parser.add_argument("--preset", choices=PRESETS, default="balanced", help="default: balanced")
        parser.add_argument("--epochs", type=int, help="default: the preset's")
        parser.add_argument("--image-size", type=int, help="pixels (default: the model's)")
        parser.add_argument("--seed", type=int, default=0, help="another one gives another network (default: 0)")
        parser.add_argument("--go-on", type=int, metavar="RUN", help="let this run, which stopped, go on instead")
        parser.add_argument("--now", action="store_true", help="here, with a progress bar, instead of on the worker")

    def handle(self, *, model: str, go_on: int | None, now: bool, **options: Any) -> None:
        with in_a_sentence():
            row = _model(model)
            run = _stopped(row, go_on, rings=not now) if go_on is not None else _asked(row, rings=not now, **options)
            if not now:
                self.stdout.write(f"{run} waits for the train worker. The admin shows how it goes.")
                return
            self._train(run, bar=options["verbosity"] > 0)

    def _train(self, run: TrainingRun, *, bar: bool) -> None:
        from recognizer.training.run_course import stopping
        from recognizer.training.runs import execute  # loads torch

        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        if not run.start():
            raise CommandError(f"A worker was faster: it trains {run} already.")
        try:
            execute(run, bar=bar)
        except LeaseLost as lost:
            raise CommandError(str(lost)) from lost
        run.refresh_from_db()
        if run.status != TrainingRun.Status.READY:
            raise CommandError(run.error or f"{run} is {run.status}. To go on: retrain {run.model.name} {_again(run)}")
        self.stdout.write("\n".join(_told(run)))


def _again(run: TrainingRun) -> str:
    return f"--go-on {run.number} --now"


def _model(name: str) -> RegisteredModel:
    try:
        return RegisteredModel.named(name)
    except RegisteredModel.DoesNotExist as error:
        raise CommandError(str(error)) from error


def _asked(model: RegisteredModel, *, rings: bool, snapshot: int | None, start: str, **options: Any) -> TrainingRun:
    names = ("preset", "epochs", "image_size", "seed")
    chosen = {name: options[name] for name in names}
    asked = RunOptions(start=_start(start), architecture=options["arch"], **chosen)
    return run_asking.ask_for_run(_snapshot(model, snapshot), asked, by=None, rings=rings)


def _snapshot(model: RegisteredModel, number: int | None) -> DatasetSnapshot:
    ready = DatasetSnapshot.objects.ready().filter(model=model).order_by("-number")
    found = (ready if number is None else ready.filter(number=number)).first()
    if found is None:
        which = "no snapshot that is ready" if number is None else f"no snapshot {number} that is ready"
        raise CommandError(f"{model.name} has {which}. Freeze one: manage.py snapshot create {model.name}")
    return found


def _start(wanted: str) -> str:
    """What people write as what the step takes: `imagenet:1` names a version."""
    name, colon, number = wanted.rpartition(":")
    if not colon or name == "file":
        return wanted
    version = _model(name).versions.filter(number=number).first() if number.isascii() and number.isdigit() else None
    if version is None:
        raise CommandError(f"There is no version {wanted} to start from (manage.py models show {name}).")
    return f"version:{version.pk}"


def _stopped(model: RegisteredModel, number: int, *, rings: bool) -> TrainingRun:
    run = TrainingRun.objects.filter(model=model, number=number).first()
    if run is None:
        raise CommandError(f"{model.name} has no training run {number}.")
    # One that waits goes on as well: Ctrl-C puts a run back in the queue.
    if run.status != TrainingRun.Status.PENDING and not run_asking.go_on(run, rings=rings):
        raise TrainingFailed(f"{run} is {run.status}: there is nothing to go on with.")
    return run


def _told(run: TrainingRun) -> Iterator[str]:
    yield f"{run} is done: {run.candidate} is a candidate."
    evaluation = run.candidate.evaluations.first() if run.candidate else None
    if evaluation is not None:
        yield f"  {evaluation.accuracy:.1%} of {evaluation.num_images} photos right on {evaluation.dataset}"
    yield f"  Look at {run.path / 'report.html'}"
