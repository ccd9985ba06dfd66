"""What a start of the service may choose, read from the environment and checked first."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]


class StartRefused(Exception):
    """The service cannot start here. The text says why and what to do, in words for a person."""


@dataclass(frozen=True)
class Options:
    """Where one service listens and where all its state lives."""

    host: str
    port: int
    data_dir: Path
    has_own_broker: bool  # False: RECOGNIZER_BROKER_URL names one that somebody else runs
    names: tuple[str, ...] = ()  # RECOGNIZER_ALLOWED_HOSTS

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"

    @property
    def other_urls(self) -> list[str]:
        """The addresses for other devices: the names that the service goes by, when it listens to more than itself."""
        is_private = self.host in ("127.0.0.1", "::1", "localhost")
        return [] if is_private else [f"http://{name}:{self.port}" for name in self.names if "*" not in name]

    def environment(self) -> dict[str, str]:
        """The environment of every child: ours, with what we chose spelled out."""
        return {
            "DJANGO_SETTINGS_MODULE": "recognizer.settings",
            **os.environ,
            "RECOGNIZER_DATA_DIR": str(self.data_dir),
            "RECOGNIZER_HOST": self.host,
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
        }


def read_options(environ: Mapping[str, str]) -> Options:
    """The options that the environment names. Raises StartRefused for a port that is none."""
    return Options(
        host=environ.get("RECOGNIZER_HOST", "").strip() or "127.0.0.1",
        port=_port(environ.get("PORT", "").strip() or "8000"),
        data_dir=Path(environ.get("RECOGNIZER_DATA_DIR", "").strip() or PROJECT_DIR).expanduser().resolve(),
        has_own_broker=not environ.get("RECOGNIZER_BROKER_URL", "").strip(),
        names=tuple(filter(None, map(str.strip, environ.get("RECOGNIZER_ALLOWED_HOSTS", "").split(",")))),
    )


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65_535:
        raise StartRefused(f"PORT must be a whole number from 1 to 65535; it is {value!r}.")
    return int(value)
