"""`python -m bench.start`: seconds from the command to the first answer, in an empty data folder and in a used one."""

import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.photos import write_photo
from bench.service import Service, ServiceFailed, fresh_service

LIMIT_SECONDS = 20.0  # on a used folder; the first start imports the starter models as well
ANSWER_SECONDS = 60.0


def main() -> int:
    """Measure and print. Gives 1 when the second start is over its limit, or the service does not start."""
    try:
        with tempfile.TemporaryDirectory(prefix="recognizer-start-") as scratch:
            photo = write_photo(Path(scratch), "500x375").read_bytes()
            first, second = (seconds_to_answer(Path(scratch) / "data", photo) for _ in range(2))
    except ServiceFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"first start, which imports the starter models: first answer after {first:.1f} s")
    print(f"second start: first answer after {second:.1f} s; limit {LIMIT_SECONDS:g} s")
    return 1 if second > LIMIT_SECONDS else 0


def seconds_to_answer(data_dir: Path, photo: bytes) -> float:
    """From the start of a service in this folder to its first answer. Raises ServiceFailed."""
    data_dir.mkdir(exist_ok=True)
    start = time.monotonic()
    with fresh_service(data_dir) as service:
        _answer(service, photo)
        return time.monotonic() - start


def _answer(service: Service, photo: bytes) -> None:
    request = urllib.request.Request(service.predict_url("fruit"), photo, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
        if json.load(response)["status"] != "succeeded":
            raise ServiceFailed("The service is ready, but did not answer.")


if __name__ == "__main__":
    sys.exit(main())
