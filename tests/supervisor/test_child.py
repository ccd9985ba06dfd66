"""One child: its restarts wait longer each time, its log stays short, its group ends with it."""

import os
import sys
import time

import pytest

from recognizer.supervisor import child as child_module
from recognizer.supervisor.child import Child
from recognizer.supervisor.leftovers import ChildrenFile
from recognizer.supervisor.programs import Program
from tests.service import is_alive, wait_until


@pytest.fixture
def start(tmp_path):
    started = []

    def start_child(code: str) -> Child:
        program = Program("web", [sys.executable, "-c", code])
        files = {"log": tmp_path / "web.log", "children": ChildrenFile(tmp_path / "children.json")}
        child = Child(program, environment=dict(os.environ), **files)
        child.start()
        started.append(child)
        return child

    yield start_child
    for child in started:
        child.signal_group(9)
        wait_for_end(child)


def wait_for_end(child: Child) -> str | None:
    endings = []
    wait_until(lambda: not child.is_running or endings.append(child.collect()), seconds=5, what="the end of a child")
    return endings[-1] if endings else None


def test_death_is_told_with_its_last_words(start):
    child = start("print('cannot go on'); raise SystemExit(3)")

    assert wait_for_end(child) == "ended with code 3"
    assert child.tail() == "    cannot go on"


def test_deaths_in_a_row_wait_longer(start, monkeypatch):
    child = start("raise SystemExit(1)")
    delays = []
    for _ in range(7):
        wait_for_end(child)
        delays.append(child.delay_seconds)
        child.start()

    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_long_life_forgives_earlier_deaths(start, monkeypatch):
    child = start("raise SystemExit(1)")
    wait_for_end(child)
    monkeypatch.setattr(child_module, "STEADY_SECONDS", 0.0)
    child.start()
    wait_for_end(child)

    assert child.delay_seconds == 0.5


def test_restart_waits_for_its_time(start, monkeypatch):
    child = start("raise SystemExit(1)")
    wait_for_end(child)

    assert not child.is_due
    later = time.monotonic() + 0.6
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert child.is_due


def test_grandchild_ends_with_a_dead_child(start, tmp_path):
    grandchild = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    )
    child = start(grandchild)
    wait_for_end(child)

    pid = int(child.tail())
    wait_until(lambda: not is_alive(pid), seconds=5, what="the end of the grandchild")


def test_long_log_is_cut_while_it_is_written(start, monkeypatch):
    monkeypatch.setattr(child_module, "MAX_LOG_BYTES", 5)
    child = start("import time; print('first words', flush=True); time.sleep(0.5); print('second words', flush=True)")
    wait_until(lambda: child.log.stat().st_size > 5, seconds=5, what="the first words")
    child.rotate_log()
    wait_for_end(child)

    assert child.log.with_suffix(".log.1").read_text() == "first words\n"
    assert child.log.read_text() == "second words\n"


def test_program_that_is_not_there_ends_like_any_other(tmp_path):
    files = {"log": tmp_path / "log", "children": ChildrenFile(tmp_path / "children.json")}
    child = Child(Program("broker", ["/nowhere/valkey-server"]), environment=dict(os.environ), **files)
    child.start()

    assert wait_for_end(child) == "ended with code 1"
    assert "No such file" in child.tail()
