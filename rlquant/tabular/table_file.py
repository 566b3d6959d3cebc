"""The file of a table, `.rlt`: a zip with a JSON header and two arrays, safe to read.

Losses and numbers of correct answers are stored as planes of their bytes, first all lowest bytes,
then all second ones and so on: the high bytes of neighbours are alike, and so they pack well.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from rlquant.arguments import explained
from rlquant.documents import read_file, shown
from rlquant.errors import FileFormatError, SettingsError
from rlquant.files import reading, write_file
from rlquant.paths import PathLike, path_of
from rlquant.tabular.measured import Measured, count_type
from rlquant.tabular.table import MOST_CONFIGURATIONS, Table
from rlquant.tabular.table_header import read_header, write_header

HEADER, LOSSES, CORRECT = "table.json", "losses.npy", "correct.npy"
MEMBERS = (HEADER, LOSSES, CORRECT)

MOST_HEADER_BYTES = 2**22
MOST_NPY_HEADER_BYTES = 2**12
MOST_BYTES = 10 * MOST_CONFIGURATIONS + MOST_HEADER_BYTES
"""No file is larger: eight bytes a configuration, and what a zip adds."""

_ENTRY, MOST_ENTRIES = b"PK\x01\x02", 1000
"""What begins every entry in a zip's directory, and how often chance may make that of numbers."""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_UNIX, _PLAIN_FILE = 3, 0o644 << 16


@explained
def write_table(table: Table, path: PathLike) -> int:
    """Write a table to a file, whole or not at all; the same table gives the same bytes.

    Args:
        table: what to write.
        path: usually `*.rlt`; its folder must exist. An existing file is replaced.

    Returns:
        The size of the file in bytes.

    Raises:
        StorageError: the file cannot be written.
    """
    target, measured = path_of("path", path), table.measured
    contents = {
        HEADER: write_header(table).encode(),
        LOSSES: _as_npy(_planes(measured.losses.astype("<f4"))),
        CORRECT: _as_npy(_planes(measured.correct.astype(_little(table.samples)))),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name, _LONG_AGO)
            info.create_system, info.external_attr = _UNIX, _PLAIN_FILE
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=9)
    write_file(target, stream.getvalue())
    return len(stream.getvalue())


@explained
def read_table(path: PathLike) -> Table:
    """Read a table's file; its values are unpacked when they are first asked for.

    Safe for untrusted input: nothing in them is run, and no memory is taken on their word.

    Raises:
        FileFormatError: the file is damaged, foreign, of another version or too large; for its
            values also later, when they are first asked for.
        StorageError: the file cannot be read.
    """
    source = path_of("path", path)
    with _reading(source):
        data = read_file(source, MOST_BYTES)
        header = _member(data, HEADER, MOST_HEADER_BYTES)
        table = read_header(header, partial(StoredValues, str(source), data))
        for name, width in ((LOSSES, 4), (CORRECT, _little(table.samples).itemsize)):
            _require_size(data, name, width * table.count)
        return table


@dataclass(frozen=True, eq=False)
class StoredValues:
    """The bytes of a file whose values are unpacked on demand.

    Attributes:
        path: where they came from.
        data: the whole file.
        count, samples: configurations and samples that the header names.
    """

    path: str
    data: bytes = field(repr=False)
    count: int
    samples: int

    def read(self) -> Measured:
        """Unpack the values; `FileFormatError` where they are damaged."""
        with _reading(self.path):
            losses = _array(self.data, LOSSES, np.dtype("<f4"), self.count)
            correct = _array(self.data, CORRECT, _little(self.samples), self.count)
            try:
                return Measured(losses, correct, self.samples)
            except SettingsError as error:
                raise FileFormatError(f"its values are damaged: {error}") from error


@contextmanager
def _archive(data: bytes) -> Iterator[zipfile.ZipFile]:
    """Open a zip that holds exactly what a table's file holds."""
    if data.count(_ENTRY) > MOST_ENTRIES:
        raise FileFormatError(f"it is a zip of more than {MOST_ENTRIES} files")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        plain = all(i.compress_type in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED) for i in infos)
        if sorted(i.filename for i in infos) != sorted(MEMBERS) or not plain:
            raise FileFormatError(f"it is a zip, but not one of {', '.join(MEMBERS)}")
        yield archive


def _member(data: bytes, name: str, most: int) -> bytes:
    """Return a member of at most `most` bytes, its checksum checked."""
    with _archive(data) as archive:
        info = archive.getinfo(name)
        if info.file_size > most:
            raise FileFormatError(f"its {name} says {info.file_size:,} bytes, at most {most:,}")
        return archive.read(info)


def _require_size(data: bytes, name: str, payload: int) -> None:
    """Raise `FileFormatError` unless a member's size is that of so many bytes of numbers."""
    with _archive(data) as archive:
        size = archive.getinfo(name).file_size
    if not payload <= size <= payload + MOST_NPY_HEADER_BYTES:
        raise FileFormatError(
            f"its {name} has {size:,} bytes, but the header's numbers make {payload:,}"
        )


def _array(data: bytes, name: str, kind: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    """Return one array from the planes of its bytes."""
    shape = (kind.itemsize, count)
    content = _member(data, name, kind.itemsize * count + MOST_NPY_HEADER_BYTES)
    start = _npy_start(content, name, shape)
    if len(content) - start != kind.itemsize * count:
        raise FileFormatError(f"its {name} holds {len(content) - start} bytes, not {shape}")
    planes = np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    return np.ascontiguousarray(planes.T).view(kind).reshape(-1)


def _npy_start(content: bytes, name: str, shape: tuple[int, int]) -> int:
    """Return where the numbers of an array begin; NumPy's reader evaluates a header as Python."""
    magic, version = content[:6], content[6:8]
    if magic != npy.MAGIC_PREFIX or version != b"\x01\x00":
        raise FileFormatError(f"its {name} is no array, or of another version of NumPy's format")
    start = 10 + int.from_bytes(content[8:10], "little")
    described = content[10:start].rstrip()
    if described != f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode():
        raise FileFormatError(f"its {name} is {shown(described)}, not bytes of shape {shape}")
    return start


def _little(samples: int) -> np.dtype[Any]:
    """Return the little-endian type of numbers of correct answers."""
    return np.dtype(count_type(samples)).newbyteorder("<")


def _planes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the bytes of an array, shape `(bytes of one, length)`."""
    return np.ascontiguousarray(values.view(np.uint8).reshape(len(values), -1).T)


def _as_npy(values: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    npy.write_array(stream, values, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Name the file in every error, and make one of whatever a damaged zip raises."""
    with reading(path):
        try:
            yield
        except FileFormatError:
            raise
        except zipfile.BadZipFile as error:
            raise FileFormatError(f"no table (.rlt), cut short or altered: {error}") from error
        except (zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise FileFormatError(f"damaged: {error}") from error
