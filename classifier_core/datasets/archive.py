"""A zip of photos, unpacked without trusting a word of it."""

import lzma
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from classifier_core.datasets.disk import megabytes, writing
from classifier_core.datasets.folder import PHOTO_SUFFIXES, Dataset, is_hidden, load_dataset, photo_folders
from classifier_core.datasets.looks import in_progress
from classifier_core.errors import DatasetInvalid, DatasetUnwritable, TrainingFailed

_CHUNK = 1 << 20  # bytes
_UTF8_FLAG = 0x800  # of a zip entry: its name is UTF-8
_ENCRYPTED_FLAG = 0x1
# What zipfile and its decompressors raise on damaged files; there is no common base.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    ValueError,
    OverflowError,
)


@dataclass(frozen=True)
class ArchiveLimits:
    """How much may come out of a zip. Counted while reading; what the zip says about itself is not believed."""

    max_files: int = 200_000
    max_bytes: int = 50_000_000_000
    max_file_bytes: int = 100_000_000
    # Photos are compressed already: a JPEG gives 1, a BMP drawing 20 to 60. Only files over a megabyte are judged.
    max_ratio: int = 200


DEFAULT_LIMITS = ArchiveLimits()


@contextmanager
def open_dataset(
    source: Path | str, *, limits: ArchiveLimits = DEFAULT_LIMITS, min_labels: int = 2
) -> Iterator[Dataset]:
    """The data set of a folder, a CSV or a zip; a zip is unpacked into a temporary folder while this is open.

    What is wrong with the data then is said of the zip, also what the caller finds.

    Raises DatasetInvalid, DatasetUnwritable.
    """
    source = Path(source)
    if not (source.is_file() and source.suffix.lower() == ".zip"):
        yield load_dataset(source, min_labels=min_labels)
        return
    with tempfile.TemporaryDirectory(prefix="recognizer-", ignore_cleanup_errors=True) as folder:
        try:
            unpack(source, Path(folder), limits=limits)
            yield load_dataset(_descended(Path(folder)), min_labels=min_labels)
        except (DatasetInvalid, DatasetUnwritable, TrainingFailed) as error:
            if folder not in str(error):
                raise
            # Where it was unpacked is gone by the time that somebody reads this.
            raise type(error)(str(error).replace(folder, str(source))) from error


def unpack(source: Path, folder: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> None:
    """Write the photos of a zip below an empty folder. Other files, hidden ones and __MACOSX are passed over.

    Raises DatasetInvalid: not a zip, encrypted or damaged, a link or a path that leads out, above a limit.
    Raises DatasetUnwritable: no space.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            entries = _checked(source, archive, limits)
            _check_space(entries, folder, source)
            _Unpacking(source, archive, folder, limits).run(entries)
    except _DAMAGED as error:
        raise DatasetInvalid(f"{source} is damaged, or not a zip that can be read: {error}. Pack it again.") from error


@dataclass(frozen=True)
class _Entry:
    info: zipfile.ZipInfo
    name: PurePosixPath


class _Unpacking:
    """Counts what has come out so far."""

    def __init__(self, source: Path, archive: zipfile.ZipFile, folder: Path, limits: ArchiveLimits) -> None:
        self._source, self._archive, self._folder, self._limits = source, archive, folder, limits
        self._num_bytes = 0

    def run(self, entries: list[_Entry]) -> None:
        for entry in in_progress(entries, "Unpacking"):
            with writing(f"{self._source.name}: {entry.name}"):
                self._write(entry)

    def _write(self, entry: _Entry) -> None:
        target = self._folder / entry.name
        if entry.info.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._archive.open(entry.info) as packed, target.open("xb") as file:
            num_bytes = 0
            while chunk := packed.read(_CHUNK):
                num_bytes += len(chunk)
                self._check(entry, num_bytes, len(chunk))
                file.write(chunk)

    def _check(self, entry: _Entry, num_bytes: int, more: int) -> None:
        self._num_bytes += more
        limits = self._limits
        if num_bytes > limits.max_file_bytes:
            raise DatasetInvalid(f"{self._source}: {entry.name} has more than {limits.max_file_bytes / 1e6:.0f} MB.")
        if self._num_bytes > limits.max_bytes:
            raise DatasetInvalid(f"{self._source} unpacks to more than {limits.max_bytes / 1e9:g} GB. Split it.")
        if num_bytes > max(_CHUNK, limits.max_ratio * entry.info.compress_size):
            raise DatasetInvalid(
                f"{self._source}: {entry.name} unpacks to more than {limits.max_ratio} times its packed size. "
                "That is no photo; take it out."
            )


def _checked(source: Path, archive: zipfile.ZipFile, limits: ArchiveLimits) -> list[_Entry]:
    infos = archive.infolist()
    if len(infos) > limits.max_files:
        raise DatasetInvalid(f"{source} holds {len(infos)} files; at most {limits.max_files} are unpacked. Split it.")
    named = zip(infos, _names(infos), strict=True)
    entries = [_Entry(info, _safe(source, name)) for info, name in named]
    wanted = [entry for entry in entries if _is_wanted(entry)]
    for entry in wanted:
        _refuse_odd(source, entry)
    return wanted


def _is_wanted(entry: _Entry) -> bool:
    if any(is_hidden(part) for part in entry.name.parts):
        return False
    return entry.info.is_dir() or entry.name.suffix.lower() in PHOTO_SUFFIXES


def _safe(source: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(path).drive:
        raise DatasetInvalid(f"{source}: {name!r} leads out of the archive. Pack the folder itself, with plain names.")
    return path


def _refuse_odd(source: Path, entry: _Entry) -> None:
    kind = stat.S_IFMT(entry.info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DatasetInvalid(f"{source}: {entry.name} is a link or a device. Pack the photo itself.")
    if entry.info.flag_bits & _ENCRYPTED_FLAG:
        raise DatasetInvalid(f"{source} is locked with a password. Pack it without one.")


def _names(infos: list[zipfile.ZipInfo]) -> list[str]:
    """Names as they were meant.

    Without the flag for UTF-8 zipfile reads cp437, as the standard has it; macOS writes UTF-8 nevertheless, and
    Windows in Chinese writes GBK. Box drawings, which nobody has in a name, tell GBK from a European name.
    """
    plain = [info.filename for info in infos if not info.flag_bits & _UTF8_FLAG]
    encoding = _encoding_of("".join(plain))
    return [
        info.filename if info.flag_bits & _UTF8_FLAG else _reread(info.filename, encoding) or info.filename
        for info in infos
    ]


def _encoding_of(text: str) -> str:
    if _reread(text, "utf-8") is not None:
        return "utf-8"
    return "gb18030" if any("\u2500" <= character <= "\u259f" for character in text) else "cp437"


def _reread(text: str, encoding: str) -> str | None:
    try:
        return text.encode("cp437").decode(encoding)
    except UnicodeError:
        return None


def _check_space(entries: list[_Entry], folder: Path, source: Path) -> None:
    needed, free = sum(entry.info.file_size for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetInvalid(
            f"{source} says it unpacks to {megabytes(needed)} MB, but {folder.parent} has {megabytes(free)} MB free. "
            "Make space, or name another place in TMPDIR."
        )


def _descended(folder: Path) -> Path:
    """Below the folders that hold nothing but one folder of folders: most zips are of one folder."""
    below = photo_folders(folder)
    while len(below) == 1 and photo_folders(below[0]):
        folder, below = below[0], photo_folders(below[0])
    return folder
