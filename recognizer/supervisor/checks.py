"""What must hold before anything starts. Each check raises StartRefused with one sentence for a person."""

import errno
import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import TextIO

from recognizer.supervisor.options import Options, StartRefused
from recognizer.supervisor.paths import run_dir

MIN_FREE_BYTES = 500_000_000


def create_run_dir(data_dir: Path) -> None:
    """Make the folder of lock and logs, and write to it once. Raises StartRefused when that is not allowed."""
    folder = run_dir(data_dir)
    probe = folder / f"probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StartRefused(f"The disk of {data_dir} is full. Free some space and start again.") from error
        raise StartRefused(
            f"The data folder {data_dir} cannot be written ({error.strerror}). "
            "Give this user the right to write there, or name another folder in RECOGNIZER_DATA_DIR."
        ) from error


def check_disk(data_dir: Path) -> None:
    """Raises StartRefused when the disk has no room for uploads."""
    free_bytes = shutil.disk_usage(data_dir).free
    if free_bytes < MIN_FREE_BYTES:
        raise StartRefused(
            f"The disk of {data_dir} has only {free_bytes // 1_000_000} MB free; {MIN_FREE_BYTES // 1_000_000} MB are "
            "needed. Free some space, or name another folder in RECOGNIZER_DATA_DIR."
        )


def lock_data_dir(data_dir: Path) -> TextIO:
    """Make the data folder ours while the returned file stays open. Raises StartRefused when another service has it."""
    lock = (run_dir(data_dir) / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        raise StartRefused(
            f"The data folder {data_dir} is in use by another service (process {owner}). "
            "Stop that one first, or name another folder in RECOGNIZER_DATA_DIR."
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def check_port(options: Options) -> None:
    """Raises StartRefused when nobody could listen on the chosen host and port."""
    host, port = options.host, options.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise StartRefused(f"RECOGNIZER_HOST is {host!r}, which is no address of this machine.") from error
    except OSError as error:
        raise StartRefused(_port_reason(error, host, port)) from error


def _port_reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program. "
            f"Stop it, or choose another port: make serve PORT={port + 1 if port < 65_535 else 8000}"
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs the rights of root. Choose one from 1024 on: make serve PORT=8000"
    return f"Nobody can listen on {host} port {port} ({error.strerror}). Check RECOGNIZER_HOST and PORT."
