"""Compressed files of data sets: no more of them is unpacked than is read."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlquant.documents import require_regular
from rlquant.errors import DataError, FileFormatError


@contextmanager
def unpacking(path: Path, remedy: str) -> Iterator[gzip.GzipFile]:
    """Open a gzip-compressed file; what is read of it is held to its checksum at its end.

    Args:
        path: the file.
        remedy: what to do about a bad one; ends every message.

    Raises:
        DataError: it is no regular file, or what is read of it is damaged or truncated.
    """
    try:
        require_regular(path)
        with gzip.open(path, "rb") as file:
            yield file
    except EOFError as error:
        raise DataError(f"{path} is truncated: {error}; {remedy}") from error
    except (OSError, FileFormatError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path} cannot be read: {error}; {remedy}") from error
