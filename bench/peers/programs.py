"""The peers as programs: started, waited for and stopped with all their processes."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.peers.network import ARTIFACT, DOCUMENTED, PLAIN, SAME_ENGINE, SPEC, WAY
from bench.service import Served, children_of, cpu_seconds_of, free_port
from recognizer.supervisor.options import PROJECT_DIR
from recognizer.supervisor.orphans import wrapped

PYTHON = PROJECT_DIR / "build" / "peers-venv" / "bin" / "python"
START_SECONDS = 90.0
STOP_SECONDS = 15.0


class PeerFailed(Exception):
    """A peer did not come up. The text is what it said."""


@dataclass(frozen=True)
class Peer:
    """A server to compare with, and the way in which it runs the network."""

    name: str
    way: str
    arguments: tuple[str, ...]  # of Python; PORT stands for the port
    ready_path: str

    @property
    def title(self) -> str:
        return self.name + {SAME_ENGINE: "", PLAIN: ", plain", DOCUMENTED: ", torch"}[self.way]


@dataclass(frozen=True)
class RunningPeer:
    """Where it takes photos, and its first process."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        return sum(map(cpu_seconds_of, _family(self.pid)))


def _family(pid: int) -> list[int]:
    return [pid, *(one for child in children_of(pid) for one in _family(child))]


_LITSERVE = ("-m", "bench.peers.litserve_server", "PORT")
_BENTOML = (
    "-m",
    "bentoml",
    "serve",
    "bench.peers.bentoml_service:Recognition",
    "--host",
    "127.0.0.1",
    "--port",
    "PORT",
)
PEERS = tuple(
    Peer(name, way, arguments, ready_path)
    for way in (SAME_ENGINE, PLAIN, DOCUMENTED)
    for name, arguments, ready_path in (("LitServe", _LITSERVE, "/health"), ("BentoML", _BENTOML, "/readyz"))
)


@contextmanager
def running(peer: Peer, served: Served, folder: Path) -> Iterator[RunningPeer]:
    """A ready peer, as long as the block lasts. Raises PeerFailed."""
    port = free_port()
    said = folder / f"{peer.name}-{peer.way}.out"
    with said.open("wb") as output:
        process = subprocess.Popen(
            wrapped([str(PYTHON), *_with_port(peer, port)], stop_signal=signal.SIGTERM),
            cwd=PROJECT_DIR,
            env=_environment(peer, served, folder),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_ready(process, f"http://127.0.0.1:{port}{peer.ready_path}", said)
        yield RunningPeer(f"http://127.0.0.1:{port}/predict", process.pid)
    finally:
        _stop(process)


def _with_port(peer: Peer, port: int) -> list[str]:
    return [str(port) if word == "PORT" else word for word in peer.arguments]


def _environment(peer: Peer, served: Served, folder: Path) -> dict[str, str]:
    network = {ARTIFACT: str(served.folder), SPEC: str(served.spec), WAY: peer.way}
    # As our workers are started: numpy's threads would take the cores from the network, for a sum that one does faster.
    threads = {"OPENBLAS_NUM_THREADS": "1"}
    bentoml = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    return {**os.environ, **network, **threads, **bentoml}


def _wait_ready(process: "subprocess.Popen[bytes]", url: str, said: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise PeerFailed(f"A peer did not start. It said:\n{said.read_text()}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End all its processes: both peers have children that outlive a main process that was killed."""
    family = _family(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
