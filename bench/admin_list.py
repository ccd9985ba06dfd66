"""How long the admin's list and its desk take: `RECOGNIZER_DATA_DIR=/tmp/full python -m bench.admin_list`.

Each page is asked for by an administrator through the whole of Django, middleware and templates included. Fill the
folder first with `python -m bench.fill`. Ends with an error when a page is over the limit.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils.timezone import localdate  # noqa: E402

from recognizer.predictions.desk import Order  # noqa: E402
from recognizer.predictions.models import Prediction  # noqa: E402
from recognizer.registry.models import ModelVersion, RegisteredModel  # noqa: E402

LIMIT_MS = 300.0
DESK_LIMIT_MS = 500.0  # it asks for the next tiles long before the last ones are judged


def pages() -> dict[str, str]:
    """Name and address of every page that is timed."""
    answered = Prediction.objects.filter(status=Prediction.Status.SUCCEEDED)
    some = answered[min(1000, answered.count() // 2)]
    rare = Prediction.objects.filter(label="thing-0999").first() or some
    day = localdate().replace(day=1).isoformat()
    questions: dict[str, dict[str, object]] = {
        "newest": {},
        "page 20": {"p": 20},
        "by score": {"o": "3"},
        "by score, lowest first": {"o": "-3"},
        "label, common": {"label": some.label},
        "label, rare": {"label": rare.label},
        "score 0.2 to 0.3": {"score_from": "0.2", "score_to": "0.3"},
        "score over 0.9": {"score_from": "0.9"},
        "version": {"version": ModelVersion.objects.order_by("pk")[0].pk},
        "model": {"model__id__exact": some.model_id},
        **{f"status {status}": {"status__exact": status} for status in Prediction.Status.values},
        "known no": {"known": "no"},
        "known unsaid": {"known": "unsaid"},
        **{f"verdict {verdict}": {"verdict": verdict} for verdict in ("none", "confirmed", "corrected", "rejected")},
        "since the 1st": {"created_at_from": day},
        "until the 1st": {"created_at_to": day},
        "many filters": {"verdict": "none", "status__exact": "succeeded", "score_to": "0.5", "label": some.label},
        "search id": {"q": some.pk},
        "search id's beginning": {"q": str(some.pk)[:6]},
        "search label": {"q": some.label},
        "search file": {"q": some.image.file_name if some.image else ""},
        "search file, common": {"q": "IMG_0"},
        "search nothing found": {"q": "no such thing"},
    }
    address = reverse("admin:predictions_prediction_changelist")
    listed = {f"list: {name}": f"{address}?{urlencode(question)}" for name, question in questions.items()}
    one = reverse("admin:predictions_prediction_change", args=[some.pk])
    return {**listed, **desk_pages(rare), "one recognition": one, "first page": reverse("admin:index")}


def desk_pages(rare: Prediction) -> dict[str, str]:
    """The page of the desk, and what it asks for while one reviews."""
    tiles = reverse("admin:predictions_desk_tiles")
    models = RegisteredModel.objects.values_list("name", flat=True)
    asked = [{"model": model, "order": order} for model in models for order in Order.values]
    asked += [{"model": model, "queue": "claims"} for model in models]
    asked += [{"offset": "480"}, {"known": "no", "score_to": "0.3"}, {"verdict": "corrected"}, {"q": "IMG_0"}]
    shown = {f"desk: {' '.join(question.values())}": f"{tiles}?{urlencode(question)}" for question in asked}
    shown["desk: label, rare"] = f"{tiles}?{urlencode({'model': rare.model.name, 'label': rare.label})}"
    labels = f"{reverse('admin:predictions_desk_labels')}?{urlencode({'model': rare.model.name})}"
    return {"desk": reverse("admin:predictions_desk"), "desk: all labels": labels, **shown}


def measure(client: Client, address: str, *, repeats: int) -> list[tuple[float, float]]:
    """`timed`, of one page."""

    def ask() -> None:
        if (status := client.get(address).status_code) != 200:
            sys.exit(f"{address} answered {status}.")

    return timed(ask, repeats=repeats)


def timed(ask: Callable[[], object], *, repeats: int) -> list[tuple[float, float]]:
    """Milliseconds of each call, by the clock and of the processor, after one that warms up."""
    taken = []
    for _ in range(repeats + 1):
        start, work = time.perf_counter(), processor_seconds()
        ask()
        taken.append(((time.perf_counter() - start) * 1000, (processor_seconds() - work) * 1000))
    return taken[1:]


def processor_seconds() -> float:
    """What this process has used so far and, on a PostgreSQL of this machine, the server's for our connection."""
    return time.process_time() + (_of_session() if connection.vendor == "postgresql" else 0.0)


def _of_session() -> float:
    connection.ensure_connection()
    used = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat")
    return int(used.read_text().split()[0]) / 1e9 if used.exists() else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", default="", help="pages whose name begins so, such as desk")
    given = parser.parse_args()
    repeats = given.repeats
    administrator, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    client = Client(SERVER_NAME="localhost")
    client.force_login(administrator)
    limits = f"limit {LIMIT_MS:.0f} ms, at the desk {DESK_LIMIT_MS:.0f} ms"
    print(f"{Prediction.objects.count():,} recognitions, {repeats} requests each, {limits}")
    if os.getloadavg()[0] > 1:
        print(
            f"The machine is busy (load {os.getloadavg()[0]:.1f}): the clock counts others' work too, `cpu` does not."
        )
    num_slow = sum(
        _is_slow(name, measure(client, address, repeats=repeats))
        for name, address in pages().items()
        if name.startswith(given.only)
    )
    sys.exit(f"{num_slow} of the pages are over the limit." if num_slow else 0)


def _is_slow(name: str, taken: list[tuple[float, float]]) -> bool:
    clock, work = zip(*taken, strict=True)
    p95 = statistics.quantiles(clock, n=20)[-1]
    is_slow = p95 > (DESK_LIMIT_MS if name.startswith("desk") else LIMIT_MS)
    mark = "  over the limit" if is_slow else ""
    figures = f"p50 {statistics.median(clock):5.0f} ms   p95 {p95:5.0f} ms   cpu {statistics.median(work):5.0f} ms"
    print(f"{name:32} {figures}{mark}", flush=True)
    return is_slow


if __name__ == "__main__":
    main()
