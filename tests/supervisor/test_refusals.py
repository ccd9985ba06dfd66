"""A start that cannot work says why in one sentence and touches nothing."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from recognizer.supervisor import checks
from recognizer.supervisor.options import Options, StartRefused, read_options
from recognizer.supervisor.paths import broker_socket, create_socket_dir
from tests.service import PROJECT_DIR, environment, free_port


def start(data_dir: Path, *, port: int | str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recognizer.supervisor"]
    return subprocess.run(
        command,
        cwd=PROJECT_DIR,
        env=environment(data_dir, port, **extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_port_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = start(tmp_path, port=port)

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"Port {port} on 127.0.0.1 is taken by another program.")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "db.sqlite3").exists()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "8000.0", "²"])
def test_bad_port_is_named(tmp_path, port):
    ended = start(tmp_path, port=port)

    assert ended.returncode == 2
    assert ended.stderr == f"PORT must be a whole number from 1 to 65535; it is {port!r}.\n"


@pytest.mark.slow
@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU")
def test_device_that_is_not_there_stops_the_start(tmp_path):
    ended = start(tmp_path, port=free_port(), RECOGNIZER_DEVICE="cuda")

    assert ended.returncode == 1
    assert ended.stderr.startswith("The settings ask for torch-cuda-float32. torch finds no CUDA device.")
    assert "Recognizer cannot start" in ended.stdout
    assert not (tmp_path / "db.sqlite3").exists()


def test_data_folder_in_use_names_the_process(tmp_path):
    checks.create_run_dir(tmp_path)
    with checks.lock_data_dir(tmp_path):
        ended = start(tmp_path, port=free_port())

    assert ended.returncode == 2
    assert f"is in use by another service (process {os.getpid()})" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_lock_is_free_again_after_its_owner(tmp_path):
    checks.create_run_dir(tmp_path)
    checks.lock_data_dir(tmp_path).close()

    with checks.lock_data_dir(tmp_path) as lock:
        assert Path(lock.name).read_text() == f"{os.getpid()}\n"


def test_data_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("")

    ended = start(tmp_path / "data", port=free_port())

    assert ended.returncode == 2
    assert "cannot be written" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without rights")
def test_folder_without_rights_is_refused(tmp_path):
    # Root may write anywhere, so the check runs as somebody else: in a child, since there is no way back.
    shutil.chown(tmp_path, "root")
    tmp_path.chmod(0o755)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        try:
            checks.create_run_dir(tmp_path)
        except StartRefused as refusal:
            os.write(writer, str(refusal).encode())
        os._exit(0)
    os.waitpid(pid, 0)

    assert b"cannot be written (Permission denied)" in os.read(reader, 1000)


def test_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "MIN_FREE_BYTES", 10**18)

    with pytest.raises(StartRefused, match=r"has only \d+ MB free; 1000000000000 MB are needed"):
        checks.check_disk(tmp_path)


def test_old_python_is_said_before_anything_is_made(tmp_path):
    script = tmp_path / "requirements" / "install.sh"
    script.parent.mkdir()
    script.write_text((PROJECT_DIR / "requirements" / "install.sh").read_text())
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ncase "$2" in *version_info*) exit 1 ;; *split*) echo 3.9.2 ;; esac\n')
    old.chmod(0o755)

    done = subprocess.run(
        ["sh", script, "runtime"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert f"{old}: Python 3.9.2" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_host_that_is_not_ours_is_refused(tmp_path):
    with pytest.raises(StartRefused, match="Check RECOGNIZER_HOST and PORT"):
        checks.check_port(Options(host="192.0.2.1", port=free_port(), data_dir=tmp_path, has_own_broker=True))


def test_defaults_listen_on_this_machine_only():
    options = read_options({})

    assert (options.url, options.data_dir, options.has_own_broker) == ("http://127.0.0.1:8000", PROJECT_DIR, True)


def test_named_broker_starts_none_of_ours(tmp_path):
    assert not read_options({"RECOGNIZER_BROKER_URL": "redis://broker:6379/0"}).has_own_broker


def test_long_data_folder_still_gets_a_socket(tmp_path):
    data_dir = tmp_path / ("long" * 30)
    data_dir.mkdir()
    path = broker_socket(data_dir)
    create_socket_dir(path)

    assert len(os.fsencode(path)) <= 103
    assert path == broker_socket(data_dir)
    assert path != broker_socket(tmp_path / ("other" * 30))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()
