"""The whole service: it comes up, heals, and leaves nothing behind."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.service import RunningService, is_alive, running_service, wait_until

pytestmark = pytest.mark.service


def wait_all_ended(pids: set[int], *, seconds: float) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), seconds=seconds, what=f"The end of {sorted(pids)}")


def test_service_heals_and_stops_clean(start_service):
    service = start_service()

    assert set(service.pids()) == {"broker", "worker", "trainer", "beat", "web"}
    assert "Login" not in service.said()  # the first start of this folder told it

    # A dead web process answers again, under another pid.
    killed = service.kill("web")
    wait_until(lambda: service.pids().get("web") not in (None, killed), seconds=10, what="A new web process")
    wait_until(service.answers, seconds=10, what="An answer of the new web process")
    assert "The web was ended by SIGKILL; it starts again in 0.5 s." in service.said()

    # A broker that lost its files comes back empty, and everybody finds it.
    killed = service.pids()["broker"]
    os.kill(killed, signal.SIGSTOP)  # its files go before it dies: the supervisor restarts it at once
    shutil.rmtree(service.data_dir / "media" / "broker", ignore_errors=True)
    os.kill(killed, signal.SIGKILL)
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


@pytest.mark.slow
def test_hung_broker_is_replaced(start_service):
    service = start_service()
    hung = service.pids()["broker"]
    os.kill(hung, signal.SIGSTOP)

    wait_until(lambda: service.pids().get("broker") not in (None, hung), seconds=60, what="A new broker")
    assert "The broker has not answered for 20 s. It is killed and starts again." in service.said()
    wait_until(lambda: service.answers("/readyz"), seconds=30, what="A ready service")


@pytest.mark.slow
def test_killed_supervisor_leaves_nothing_and_restarts(prepared_data, tmp_path):
    data_dir = tmp_path / "data"
    shutil.copytree(prepared_data, data_dir)
    spoil_broker_files(data_dir)

    with running_service(data_dir) as service:
        assert "The broker starts empty" in service.said()
        family = service.family()
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        wait_all_ended(family, seconds=5)

    with running_service(data_dir, port=service.port) as again:
        assert again.said().count("The broker starts empty") == 1
        stop_in_a_hurry(again)


def spoil_broker_files(data_dir: Path) -> None:
    files = data_dir / "media" / "broker" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text("this is no manifest\n")


def stop_in_a_hurry(service: RunningService) -> None:
    family = service.family()
    os.kill(service.pids()["worker"], signal.SIGSTOP)  # a worker that cannot stop by itself
    service.process.send_signal(signal.SIGINT)
    wait_until(lambda: "web" not in service.pids(), seconds=10, what="The end of the web process")
    service.process.send_signal(signal.SIGINT)

    assert service.process.wait(8) == 0
    wait_all_ended(family, seconds=1)
