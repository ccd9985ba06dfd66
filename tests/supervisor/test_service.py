"""The whole service: it comes up, heals, and leaves nothing behind."""

import os
import shutil
import signal

import pytest

from tests.service import RunningService, is_alive, wait_until

pytestmark = pytest.mark.service
FIRST_ANSWER_SECONDS = 20.0


def wait_all_ended(pids: set[int], *, seconds: float) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), seconds=seconds, what=f"The end of {sorted(pids)}")


def test_service_heals_and_stops_clean(start_service):
    service = start_service()

    assert set(service.pids()) == {"broker", "worker", "beat", "web"}
    assert ready_seconds(service) < FIRST_ANSWER_SECONDS
    assert "Login" not in service.said()  # the first start of this folder told it

    # A dead web process answers again, under another pid.
    killed = service.kill("web")
    wait_until(lambda: service.pids().get("web") not in (None, killed), seconds=10, what="A new web process")
    wait_until(service.answers, seconds=10, what="An answer of the new web process")
    assert "The web was ended by SIGKILL; it starts again in 0.5 s." in service.said()

    # A broker that lost its files comes back empty, and everybody finds it.
    killed = service.kill("broker")
    shutil.rmtree(service.data_dir / "media" / "broker", ignore_errors=True)
    wait_until(lambda: service.pids().get("broker") not in (None, killed), seconds=5, what="A new broker")
    assert service.said().count("The broker was ended by SIGKILL") == 1
    assert "The broker ended with code" not in service.said()

    # A killed worker takes its pool child along, and a new one answers.
    family, worker = service.family(), service.kill("worker")
    wait_until(lambda: service.pids().get("worker") not in (None, worker), seconds=10, what="A new worker")
    wait_until(lambda: service.answers("/readyz"), seconds=30, what="A model in the new worker")

    # The supervisor, four children, and a pool child at least.
    wait_until(lambda: len(service.family()) > 5, seconds=10, what="A whole family")
    family |= service.family()
    assert service.stop() == 0
    wait_all_ended(family, seconds=1)
    assert service.said().endswith("Recognizer has stopped.\n")


def ready_seconds(service: RunningService) -> float:
    line = next(line for line in service.said().splitlines() if "is ready after" in line)
    return float(line.partition("after ")[2].split()[0])


def test_killed_supervisor_leaves_nothing_and_restarts(start_service):
    service = start_service()
    family = service.family()
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    wait_all_ended(family, seconds=5)

    again = RunningService(service.data_dir, port=service.port)
    try:
        again.wait_ready()
    finally:
        family = again.family()
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(40) == 0
    wait_all_ended(family, seconds=1)


def test_second_request_to_stop_is_obeyed_at_once(start_service):
    service = start_service()
    family = service.family()
    worker = service.pids()["worker"]
    os.kill(worker, signal.SIGSTOP)  # a worker that cannot stop by itself
    service.process.send_signal(signal.SIGINT)
    wait_until(lambda: "web" not in service.pids(), seconds=10, what="The end of the web process")
    service.process.send_signal(signal.SIGINT)

    assert service.process.wait(8) == 0
    wait_all_ended(family, seconds=1)


def test_unreadable_broker_files_are_put_aside(start_service, tmp_path, prepared_data):
    data_dir = tmp_path / "spoiled"
    shutil.copytree(prepared_data, data_dir)
    files = data_dir / "media" / "broker" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text("this is no manifest\n")

    service = RunningService(data_dir)
    try:
        service.wait_ready()
        assert "The broker starts empty" in service.said()
        assert len(list(files.parent.glob("unreadable-*"))) == 1
    finally:
        assert service.stop() == 0
