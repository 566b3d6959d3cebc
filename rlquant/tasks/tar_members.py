"""Files of known sizes out of a compressed tar archive, without unpacking it."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Mapping
from pathlib import Path

from rlquant.errors import DataError
from rlquant.tasks.packed_data import unpacking

BLOCK = 1 << 20
BESIDE_BYTES = 1 << 24
"""What an archive may hold beside the files that are wanted: headers and texts."""


def read_members(path: Path, sizes: Mapping[str, int], *, remedy: str) -> dict[str, bytes]:
    """Read files out of a gzip-compressed tar archive, in one pass; nothing is written.

    Args:
        path: the .tar.gz file.
        sizes: the bytes that each file must have, by its name in the archive; other files are
            passed over.
        remedy: what to do about a bad archive; ends every message.

    Raises:
        DataError: the archive cannot be read or decompressed, or a file in it is missing, is no
            regular file or is of another size.
    """
    # gzip's own reader holds the archive to its checksum, tarfile's does not.
    with unpacking(path, remedy) as file:
        stream = _Bounded(file, sum(sizes.values()) + BESIDE_BYTES)
        contents = _read_regular_files(path, stream, sizes, remedy)
        while stream.read(BLOCK):
            pass
    missing = [name for name in sizes if name not in contents]
    if missing:
        raise DataError(f"{path} holds no {missing[0]}, so it is another archive; {remedy}")
    return contents


class _Bounded:
    """A stream that ends in a `DataError` once more has been read than an archive may hold."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self._stream, self._left = stream, most

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.TarError("it unpacks to more than the files of the data set")
        return content


def _read_regular_files(
    path: Path, stream: _Bounded, sizes: Mapping[str, int], remedy: str
) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            if member.name not in sizes:
                continue
            if not member.isreg() or member.size != sizes[member.name]:
                raise DataError(
                    f"{path} holds {member.name} with {member.size} bytes, expected a regular file "
                    f"of {sizes[member.name]}; {remedy}"
                )
            file = archive.extractfile(member)
            assert file is not None
            contents[member.name] = file.read()
    return contents
