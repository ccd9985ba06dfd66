"""What grows with the history, timed in a filled folder: `RECOGNIZER_DATA_DIR=/tmp/full python -m bench.growth_pages`.

Each page goes through the whole of Django, middleware and templates included. Prints one line of JSON: 95th
percentile and processor time of each, in milliseconds. No broker runs: an upload is stored, and nobody waits for it.
"""

import argparse
import base64
import io
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlencode

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recognizer.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402
from django.db.models import Count  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils.timezone import now  # noqa: E402
from PIL import Image  # noqa: E402

from bench.admin_list import pages as admin_pages  # noqa: E402
from bench.admin_list import timed  # noqa: E402
from recognizer.predictions.looks import look_at_new  # noqa: E402
from recognizer.predictions.models import Prediction  # noqa: E402
from recognizer.predictions.tasks import reconcile  # noqa: E402

Ask = Callable[[], object]
LEASE = timedelta(seconds=15)
LONG_AGO = timedelta(days=180)


class Refused(Exception):
    """A page did not answer as it should."""


def requests() -> dict[str, Ask]:
    """Name and call of everything that is timed."""
    admin = signed_in("bench", is_staff=True, is_superuser=True)
    of_staff = {name: _get(admin, address) for name, address in admin_pages().items()}
    return {**predicting(), **beside_predicting(), **own_pages(), **reviewers_api(admin), **of_staff}


def signed_in(name: str, **fields: bool) -> Client:
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get_or_create(username=name, defaults=fields)[0])
    return client


def predicting() -> dict[str, Ask]:
    """An upload, and what the database has to do for a worker's batch of eight."""
    client, model = Client(SERVER_NAME="localhost"), Prediction.objects.first().model.name
    photo, numbers = _photo(), itertools.count(time.time_ns())
    address = f"{reverse('api:predict')}?model={model}"

    def upload() -> None:
        raw = SimpleUploadedFile("photo.jpg", photo + b"%020d" % next(numbers), content_type="image/jpeg")
        _check(client.post(address, {"image": raw}, headers={"Prefer": "respond-async"}), 202)

    def work() -> None:
        for row in Prediction.objects.claim(limit=8, lease=LEASE):
            row.fail("bench", "Made by the bench.")

    return {"predict: upload": upload, "predict: claim and end eight": work}


def beside_predicting() -> dict[str, Ask]:
    """What a worker asks the database every few seconds; uploads that come meanwhile wait for it."""

    def search() -> None:
        look_at_new(until=time.monotonic(), is_busy=lambda: False)

    return {"worker: pictures to compare": search, "worker: reconcile": reconcile}


def own_pages() -> dict[str, Ask]:
    """History page and API list of the person with most recognitions."""
    busiest = User.objects.annotate(number=Count("predictions")).order_by("-number")[0]
    client, label = signed_in(busiest.username), _common_label()
    long_ago = now() - LONG_AGO
    history: dict[str, dict[str, str]] = {
        "newest": {},
        "of half a year ago": {"after": f"{long_ago.isoformat()}_{'0' * 32}"},
        "label": {"label": label},
        "label, half a year ago": {"label": label, "after": f"{long_ago.isoformat()}_{'0' * 32}"},
        "failed": {"status": "failed"},
        "unknown": {"unknown": "on"},
    }
    pages = {f"history: {name}": _get(client, _address("history", query)) for name, query in history.items()}
    return {**pages, **_api("own API list", client, label=label)}


def reviewers_api(client: Client) -> dict[str, Ask]:
    """The API list of everybody's."""
    return _api("API list", client, label=_common_label())


def _api(name: str, client: Client, *, label: str) -> dict[str, Ask]:
    queries: dict[str, dict[str, str]] = {
        "newest": {},
        "of half a year ago": {"cursor": _cursor(now() - LONG_AGO)},
        "label": {"label": label},
        "failed": {"status": "failed"},
        "model": {"model": "fruit-demo"},
        "version": {"version": "1"},
        "not reviewed": {"reviewed": "false"},
        "reviewed": {"reviewed": "true"},
        "rejected": {"verdict": "rejected"},
        "score over 0.9": {"score_min": "0.9"},
        "score under 0.2": {"score_max": "0.2"},
        "long ago": {"created_before": (now() - LONG_AGO).isoformat()},
    }
    return {f"{name}: {one}": _get(client, _address("api:predictions", query)) for one, query in queries.items()}


def _cursor(moment: datetime) -> str:
    """As the API makes them: the page after this moment."""
    return base64.b64encode(urlencode({"p": str(moment)}).encode()).decode()


def _address(name: str, query: dict[str, str]) -> str:
    return f"{reverse(name)}?{urlencode(query)}"


def _common_label() -> str:
    return str(Prediction.objects.filter(status=Prediction.Status.SUCCEEDED)[0].label)


def _get(client: Client, address: str) -> Ask:
    return lambda: _check(client.get(address), 200)


def _check(response: HttpResponse, status: int) -> None:
    if response.status_code != status:
        raise Refused(f"{response.request['PATH_INFO']} answered {response.status_code}.")  # type: ignore[attr-defined]


def _photo() -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 160, 40)).save(encoded, "JPEG")
    return encoded.getvalue()


def measure(ask: Ask, *, repeats: int) -> tuple[float, float]:
    """95th percentile by the clock and median of processor time, in milliseconds, after one call that warms up."""
    clock, work = zip(*timed(ask, repeats=repeats), strict=True)
    return round(statistics.quantiles(clock, n=20)[-1], 1), round(statistics.median(work), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", default="", help="those whose name begins so, such as history")
    given = parser.parse_args()
    chosen = {name: ask for name, ask in requests().items() if name.startswith(given.only)}
    print(json.dumps({name: _told(name, measure(ask, repeats=given.repeats)) for name, ask in chosen.items()}))


def _told(name: str, figures: tuple[float, float]) -> tuple[float, float]:
    """The figures, and a line about them beside the result."""
    print(f"{name:32} p95 {figures[0]:6.0f} ms   cpu {figures[1]:6.0f} ms", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    main()
