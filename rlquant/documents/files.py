"""Reading of untrusted files: regular ones, up to the size that their kind may have."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rlquant.errors import FileFormatError

MOST_TEXT_BYTES = 2**24
"""What a document may have; parsed, it takes some twenty times as much memory."""


def require_regular(path: str | Path) -> int | None:
    """Return the bytes of a regular file, None where nothing is at `path`.

    A pipe would keep its reader waiting, and a device need not end.

    Raises:
        FileFormatError: something else than a file, or a name that none can have.
        OSError: the file cannot be looked at.
    """
    if "\0" in os.fspath(path):
        raise FileFormatError("its name holds a NUL character; give another one")
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise FileFormatError(f"it is {kind}, where a file should be; move it away")
    return found.st_size


def read_file(path: str | Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """Return the bytes of a file.

    Args:
        path: a regular file.
        most: bytes that it may have; memory is taken for no more.

    Raises:
        FileFormatError: something else than a file, or more bytes.
        OSError: there is no such file, or it cannot be read.
    """
    size = require_regular(path)
    if size is None:
        raise FileNotFoundError(2, os.strerror(2), str(path))
    if size > most:
        raise FileFormatError(f"it has {size:,} bytes, a file of its kind at most {most:,}")
    with open(path, "rb") as file:
        return file.read(size)  # what it has grown by since is left out


def read_text(path: str | Path, most: int = MOST_TEXT_BYTES) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Args:
        path: a regular file.
        most: bytes that it may have.

    Raises:
        FileFormatError: something else than a file, more bytes, or another encoding.
        OSError: there is no such file, or it cannot be read.
    """
    try:
        return read_file(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"it is no text in UTF-8 ({error.reason})") from error
