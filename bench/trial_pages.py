"""How long the pages of learning take: `RECOGNIZER_DATA_DIR=/tmp/full python -m bench.trial_pages`.

Fill the folder first with `python -m bench.fill`; this adds a second opinion about every answer of the larger model,
and what its training would have left (`bench/learned.py`). Ends with an error when a page is over the limit.
"""

import os
import random
import statistics
import sys
from urllib.parse import urlencode

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils.timezone import localdate  # noqa: E402

from bench import learned  # noqa: E402
from bench.admin_list import measure  # noqa: E402
from recognizer.predictions.models import Prediction, SecondOpinion, Trial, answer_of  # noqa: E402
from recognizer.registry.models import Judgement, ModelVersion, Promotion, RegisteredModel  # noqa: E402
from recognizer.training.checkup_models import CheckUp, Finding  # noqa: E402
from recognizer.training.models import DatasetSnapshot, SnapshotItem  # noqa: E402
from recognizer.training.run_models import TrainingRun  # noqa: E402

LIMIT_MS = 500.0
DIFFERING = 0.1
CHUNK_ROWS = 5_000
NUM_PROMOTIONS = 300


def fill(version: ModelVersion) -> None:
    """An opinion of this version about each answer of its model; every tenth differs."""
    first = Prediction.objects.filter(model=version.model).order_by("created_at")[0].created_at
    trial = Trial.objects.create(
        model=version.model, version=version, kind=Trial.Kind.REPLAY, since=first, position_at=first
    )
    chance = random.Random(1)
    keys = list(version.model.labels.values_list("key", flat=True))
    rows = Prediction.objects.filter(model=version.model, status=Prediction.Status.SUCCEEDED)
    batch: list[SecondOpinion] = []
    with transaction.atomic():
        for row in rows.exclude(version=version).iterator():
            live = answer_of(row)
            answer = chance.choice(keys) if chance.random() < DIFFERING else live
            said = {
                "answer": answer,
                "live_answer": live,
                "agrees": answer == live,
                "label": answer,
                "score": row.score,
            }
            batch.append(
                SecondOpinion(
                    trial=trial,
                    version=version,
                    prediction=row,
                    day=localdate(row.created_at),
                    scores=row.scores,
                    **said,
                )
            )
            if len(batch) == CHUNK_ROWS:
                SecondOpinion.objects.bulk_create(batch)
                batch.clear()
        SecondOpinion.objects.bulk_create(batch)
    trial.end()


def _newcomer(model: RegisteredModel) -> ModelVersion:
    """A version that has answered nothing."""
    last = model.versions.all()[0]
    described = {"architecture": last.architecture, "num_classes": last.num_classes, "manifest": {}}
    return model.versions.create(number=last.number + 1, artifact_sha256=f"{last.pk + 1:064x}", **described)


def pages() -> dict[str, str]:
    """Name and address of every page that is timed."""
    return {**trial_pages(), **learning_pages()}


def trial_pages() -> dict[str, str]:
    """The desk, trials and the time machine."""
    version = Trial.objects.order_by("pk")[0].version
    serving = version.model.desired_version()
    some = Prediction.objects.filter(status=Prediction.Status.SUCCEEDED, version=serving)[1000:1001].get()
    tiles = reverse("admin:predictions_desk_tiles")
    trial = reverse("admin:predictions_trial_version", args=[version.pk])
    listed = reverse("admin:predictions_prediction_changelist")
    served = reverse("admin:registry_served")
    return {
        "desk": reverse("admin:predictions_desk"),
        "desk: tiles, most useful first": f"{tiles}?{urlencode({'model': version.model.name, 'order': 'useful'})}",
        "desk: tiles, newest": f"{tiles}?{urlencode({'model': version.model.name, 'order': 'newest'})}",
        "trial": trial,
        "trial: page 20": f"{trial}?p=20",
        "trial: one class": f"{trial}?{urlencode({'label': some.label})}",
        "list: differing": f"{listed}?disagrees={version.pk}",
        "list: differing, not reviewed": f"{listed}?disagrees={version.pk}&verdict=none",
        "trials": reverse("admin:predictions_trial_changelist"),
        "origin": reverse("admin:training_origin", args=[some.pk]),
        "what served when": f"{served}?{urlencode({'model': version.model.name})}",
        "one recognition": reverse("admin:predictions_prediction_change", args=[some.pk]),
    }


def learning_pages() -> dict[str, str]:
    """Snapshots, runs, judgements and check-ups: each list, and the page of the largest."""
    kinds = {"snapshot": DatasetSnapshot, "run": TrainingRun, "comparison": Judgement, "doctor": CheckUp}
    lists, ones = {}, {}
    for name, kind in kinds.items():
        views = f"admin:{kind._meta.app_label}_{kind._meta.model_name}"
        lists[f"{name}s: list"] = reverse(f"{views}_changelist")
        ones[name] = reverse(f"{views}_change", args=[kind._default_manager.order_by("-pk")[0].pk])
    tabs = [*Finding.Kind.values, "decided", "enough"]
    return {
        **lists,
        **ones,
        "run: progress": f"{ones['run'].removesuffix('change/')}progress/",
        **{f"doctor: {tab}": f"{ones['doctor']}?{urlencode({'kind': tab})}" for tab in tabs},
        "base photos": reverse("admin:training_basephoto_changelist"),
    }


def main() -> None:
    model = RegisteredModel.objects.order_by("-pk")[0]  # the one with most recognitions
    serving = model.desired_version()
    if serving is None:
        sys.exit("There is nothing to look at. Fill the folder with `python -m bench.fill` first.")
    if not SecondOpinion.objects.exists():
        newcomer = _newcomer(model)
        fill(newcomer)
        learned.fill(model, serving=serving, candidate=newcomer)
        Promotion.objects.bulk_create(
            Promotion(model=model, version=model.versions.all()[number % 2], kind="promotion", gate="bench")
            for number in range(NUM_PROMOTIONS)
        )
    boss, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    client = Client(SERVER_NAME="localhost")
    client.force_login(boss)
    counted = (Prediction, SecondOpinion, SnapshotItem)
    print(", ".join(f"{kind.objects.count():,} {kind._meta.verbose_name}s" for kind in counted), flush=True)
    slow = [name for name, address in pages().items() if _takes_too_long(name, measure(client, address, repeats=8))]
    sys.exit(f"Over {LIMIT_MS:.0f} ms: {', '.join(slow)}." if slow else 0)


def _takes_too_long(name: str, taken: list[tuple[float, float]]) -> bool:
    clock, work = (statistics.median(column) for column in zip(*taken, strict=True))
    print(f"{name:32} p50 {clock:5.0f} ms   cpu {work:5.0f} ms   limit {LIMIT_MS:.0f} ms", flush=True)
    return clock > LIMIT_MS


if __name__ == "__main__":
    main()
