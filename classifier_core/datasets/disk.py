"""What goes wrong with a disk, in words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from classifier_core.errors import DatasetUnwritable

_WORDS = {
    errno.ENOSPC: "there is no space left. Make some, and try again",
    errno.EDQUOT: "your share of the disk is used up. Make space, and try again",
    errno.EACCES: "you may not write there. Choose another folder, or ask for the right",
    errno.EPERM: "you may not write there. Choose another folder, or ask for the right",
    errno.EROFS: "the disk is read-only. Choose another folder",
    errno.EEXIST: "something of that name is there already",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EISDIR: "a folder is where a file should be",
    errno.ENAMETOOLONG: "the name is too long for this disk. Shorten it",
    errno.ENOENT: "it is not there any more",
}


def megabytes(num_bytes: int) -> str:
    """The number before "MB"; below 10 with a decimal, so that 400 KB are not none."""
    return f"{num_bytes / 1e6:.0f}" if num_bytes >= 1e7 else f"{max(num_bytes, 1e5 if num_bytes else 0) / 1e6:.1f}"


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turns an OSError into DatasetUnwritable: `what`, and what to do."""
    try:
        yield
    except OSError as error:
        reason = _WORDS.get(error.errno or 0) or error.strerror or str(error)
        raise DatasetUnwritable(f"{what} cannot be written: {reason}.") from error
