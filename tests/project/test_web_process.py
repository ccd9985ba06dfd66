"""What the web process loads, counts and tells."""

import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client
from prometheus_client import REGISTRY
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from recognizer.web import Channel, Task
from tests.project.test_environment import run
from tests.service import PROJECT_DIR, environment, free_port, wait_until

_SERVE = """
import json, sys
from recognizer.wsgi import application
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.test import Client
client = Client(SERVER_NAME="localhost")
paths = ("/", "/api/models/", "/api/schema/", "/history/", "/admin/login/", "/healthz")
statuses = [client.get(path).status_code for path in paths]
statuses.append(client.post("/api/predict/", b"x", content_type="image/png").status_code)
from recognizer.predictions import blobs, doorbell, renditions
doorbell.ring()
import io
from PIL import Image
raw = io.BytesIO()
Image.new("I;16", (9, 9)).save(raw, "PNG")
renditions.rendition(blobs.write(raw.getvalue()), "thumbnail")
heavy = {"numpy", "torch", "torchvision", "openvino", "onnx", "onnxruntime", "timm", "sklearn", "matplotlib"}
heavy &= set(sys.modules)
print(json.dumps([statuses, sorted(heavy)]))
"""


def test_web_process_loads_no_runtime(tmp_path: Path):
    import json

    done = run([sys.executable, "-c", _SERVE], tmp_path)

    assert done.returncode == 0, done.stderr
    statuses, heavy = json.loads(done.stdout.splitlines()[-1])
    assert statuses == [200, 200, 200, 200, 200, 200, 415]
    assert heavy == []


def samples() -> list[dict[str, str]]:
    return [
        s.labels for metric in REGISTRY.collect() for s in metric.samples if s.name == "recognizer_http_requests_total"
    ]


@pytest.mark.django_db
def test_metrics_count_routes_not_paths(client: Client):
    client.get("/api/predictions/7f2c5c4e-3a53-4c4f-9d0a-000000000000/")

    assert {"method": "GET", "route": "api:prediction", "status": "404"} in samples()
    text = client.get("/metrics").content.decode()
    assert "recognizer_pending 0.0" in text
    assert "recognizer_live_workers 0.0" in text
    assert "7f2c5c4e" not in text


@pytest.mark.django_db
def test_invented_methods_make_no_new_series(client: Client):
    for number in range(3):
        client.generic(f"INVENTED{number}", "/healthz")

    assert not [labels for labels in samples() if labels["method"].startswith("INVENTED")]


@pytest.mark.django_db
def test_metrics_are_for_this_machine_or_a_token(client: Client, settings):
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 403
    settings.RECOGNIZER_METRICS_TOKEN = "letmein"
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert (
        client.get("/metrics", headers={"Authorization": "Bearer letmein"}, REMOTE_ADDR="10.1.2.3").status_code == 200
    )


@pytest.mark.django_db
def test_metrics_behind_a_proxy_need_the_token(client: Client, settings):
    settings.RECOGNIZER_TRUSTED_PROXY = "10.0.0.1"

    assert client.get("/metrics").status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "*"])
def test_web_stops_clean_on_every_kind_of_host(tmp_path: Path, host: str):
    port = free_port()
    command = [sys.executable, "-m", "recognizer.web"]
    chosen = environment(tmp_path, port, RECOGNIZER_HOST=host)
    with subprocess.Popen(command, cwd=PROJECT_DIR, env=chosen, stderr=subprocess.PIPE, text=True) as web:
        try:
            wait_until(lambda: answers(port), seconds=60, what="An answer")
            web.send_signal(signal.SIGTERM)
            _, said = web.communicate(timeout=15)
        finally:
            web.kill()

    assert web.returncode == 0
    assert "Traceback" not in said


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("num_bytes", [1, 20_000_000])
def test_loop_leaves_a_channel_alone_while_its_thread_sends(num_bytes: int):
    seen: list[bool] = []
    channel, client = connected_channel()
    send = channel.send
    channel.send = lambda *args, **kwargs: seen.append(channel.writable()) or send(*args, **kwargs)

    channel.write_soon(b"x" * num_bytes)

    assert seen
    assert not any(seen)
    assert channel.writable() == (num_bytes > 1)  # what the socket did not take is the loop's
    client.close()
    channel.handle_close()


@pytest.mark.parametrize(("pieces", "writes"), [([b"hello"], [b"hello"]), ([b"hel", b"lo"], [b"", b"hel", b"lo"])])
def test_answer_of_one_piece_leaves_with_its_header(pieces: list[bytes], writes: list[bytes]):
    written: list[bytes] = []
    channel, client = connected_channel()
    channel.write_soon = written.append
    request = HTTPRequestParser(channel.adj)
    request.received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def application(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        return pieces

    channel.server.application = application
    task = Task(channel, request)
    task.service()

    header, end, body = written[0].partition(b"\r\n\r\n")
    assert header.startswith(b"HTTP/1.1 200 OK")
    assert end
    assert [body, *written[1:]] == writes
    assert not task.close_on_finish  # the connection takes the next request
    client.close()
    channel.handle_close()


def connected_channel() -> tuple[Channel, socket.socket]:
    adjustments = Adjustments()
    server = SimpleNamespace(
        active_channels={}, pull_trigger=lambda: None, adj=adjustments, effective_port=80, server_name="localhost"
    )
    ours, theirs = socket.socketpair()
    return Channel(server, ours, ("127.0.0.1", 1), adjustments, map={}), theirs
