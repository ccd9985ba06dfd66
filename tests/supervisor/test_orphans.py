"""No process outlives its service, and no stranger is ended in its place."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recognizer.supervisor.leftovers import ChildrenFile, start_time
from recognizer.supervisor.orphans import wrapped
from tests.service import PROJECT_DIR, is_alive, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such request")
def test_child_ends_with_a_killed_parent():
    parent_code = (
        "import subprocess, sys, signal, time; from recognizer.supervisor.orphans import wrapped;"
        f"child = subprocess.Popen(wrapped({SLEEP!r}, stop_signal=signal.SIGTERM), start_new_session=True);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True)
    with parent:
        child = int(parent.stdout.readline())
        wait_until(lambda: b"time.sleep" in Path(f"/proc/{child}/cmdline").read_bytes(), seconds=5, what="the exec")
        parent.kill()

    wait_until(lambda: not is_alive(child), seconds=5, what="the end of the child")


def test_wrapped_program_of_a_dead_parent_does_not_start():
    command = wrapped([sys.executable, "-c", "print('started')"], stop_signal=signal.SIGKILL)
    command[4] = "1"  # a parent that is not ours

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_leftover_is_ended_by_exact_identity(tmp_path, sleeper):
    ChildrenFile(tmp_path / "children.json").remember("worker", sleeper.pid)

    assert ChildrenFile(tmp_path / "children.json").end_leftovers() == ["worker"]
    assert sleeper.wait(5) == -signal.SIGTERM


def test_child_of_a_moment_without_disk_is_written_down_later(tmp_path, sleeper):
    children, in_the_way = ChildrenFile(tmp_path / "children.json"), tmp_path / "children.new"
    in_the_way.mkdir()  # as a full disk: root writes where others may not
    children.remember("worker", sleeper.pid)
    assert ChildrenFile(tmp_path / "children.json").end_leftovers() == []

    in_the_way.rmdir()
    children.catch_up()

    assert ChildrenFile(tmp_path / "children.json").end_leftovers() == ["worker"]
    assert sleeper.wait(5) == -signal.SIGTERM


def test_leftover_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("recognizer.supervisor.leftovers.GRACE_SECONDS", 0.3)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE) as stubborn:
        stubborn.stdout.readline()
        ChildrenFile(tmp_path / "children.json").remember("worker", stubborn.pid)
        ChildrenFile(tmp_path / "children.json").end_leftovers()

        assert stubborn.wait(5) == -signal.SIGKILL


def test_reused_pid_of_a_stranger_is_left_alone(tmp_path, sleeper):
    row = {"name": "worker", "pid": sleeper.pid, "started": start_time(os.getpid())}
    (tmp_path / "children.json").write_text(json.dumps([row]))

    assert ChildrenFile(tmp_path / "children.json").end_leftovers() == []
    assert sleeper.poll() is None


@pytest.mark.parametrize("content", ["", "[{", "[]"])
def test_broken_children_file_stops_nobody(tmp_path, content):
    (tmp_path / "children.json").write_text(content)

    assert ChildrenFile(tmp_path / "children.json").end_leftovers() == []
