"""The Prefer header (RFC 7240): how long a client wants to wait for the answer."""

import re

from django.conf import settings
from rest_framework.request import Request

LONGEST_WAIT_SECONDS = 60


def wait_seconds(request: Request) -> float:
    """0 for `respond-async`, N for `wait=N` (at most 60), else the default budget. What it cannot read it ignores."""
    preferences = [part.strip().lower() for part in request.headers.get("Prefer", "").split(",")]
    if "respond-async" in preferences:
        return 0.0
    waits = [match[1] for part in preferences if (match := re.fullmatch(r'wait="?(\d{1,9})"?', part))]
    return float(min(int(waits[0]), LONGEST_WAIT_SECONDS)) if waits else float(settings.RECOGNIZER_WAIT_SECONDS)
