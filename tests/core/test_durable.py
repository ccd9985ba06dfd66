"""A file is whole or absent, whatever interrupts its writing."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from classifier_core import durable


def test_a_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a"
    durable.replace(path, [b"old"])
    durable.replace(path, [b"new", b"er"])
    assert path.read_bytes() == b"newer"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    durable.replace(path, [b"old"])
    with pytest.raises(OSError, match="gone"):
        durable.replace(path, _breaks_off())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    durable.replace(tmp_path / "key", [b"secret"], mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_an_existing_file_is_not_written_over_in_place(tmp_path: Path) -> None:
    durable.write(tmp_path / "a", [b"old"])
    with pytest.raises(FileExistsError):
        durable.write(tmp_path / "a", [b"new"])


def _breaks_off() -> Iterator[bytes]:
    yield b"ne"
    raise OSError("gone")
