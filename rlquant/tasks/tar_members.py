"""Files of known sizes out of a compressed tar archive, without unpacking it."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from rlquant.errors import DataError

BLOCK = 1 << 20


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
    try:
        # gzip's own reader holds the archive to its checksum, tarfile's does not.
        with gzip.open(path, "rb") as stream:
            contents = _read_regular_files(path, stream, sizes, remedy)
            while stream.read(BLOCK):
                pass
    except EOFError as error:
        raise DataError(f"{path} is truncated: {error}; {remedy}") from error
    except (OSError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path} cannot be read: {error}; {remedy}") from error
    missing = [name for name in sizes if name not in contents]
    if missing:
        raise DataError(f"{path} holds no {missing[0]}, so it is another archive; {remedy}")
    return contents


def _read_regular_files(
    path: Path, stream: gzip.GzipFile, sizes: Mapping[str, int], remedy: str
) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
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
