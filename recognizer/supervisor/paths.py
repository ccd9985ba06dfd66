"""Where the running service keeps its sockets, locks and logs. Standard library only: settings import this."""

import hashlib
import os
import tempfile
from pathlib import Path

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing zero included.
_LONGEST_SOCKET_PATH_BYTES = 103


def broker_dir(data_dir: Path) -> Path:
    """The broker's append-only files: what is queued survives a restart."""
    return data_dir / "media" / "broker"


def run_dir(data_dir: Path) -> Path:
    """Lock, list of children, logs and the beat schedule: of use only while the service runs."""
    return data_dir / "media" / "run"


def broker_socket(data_dir: Path) -> Path:
    """The broker's Unix socket: the same answer in every process that knows the data folder.

    A socket's path is limited to about 100 bytes. Under a longer data folder it lies in a private folder of the
    system's temporary one, named after the data folder.
    """
    socket = (data_dir.resolve() / "media" / "broker" / "broker.sock").absolute()
    if len(os.fsencode(socket)) <= _LONGEST_SOCKET_PATH_BYTES:
        return socket
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"recognizer-{os.getuid()}-{name}" / "broker.sock"


def create_socket_dir(socket: Path) -> None:
    """Make the socket's folder, for this user only.

    Raises PermissionError when the folder belongs to somebody else, who could then listen in our place.
    """
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if socket.parent.stat().st_uid != os.getuid():
        raise PermissionError(f"{socket.parent} belongs to another user.")
    socket.parent.chmod(0o700)
