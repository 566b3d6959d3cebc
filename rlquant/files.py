"""Files written whole or not at all, and read, with errors that name the file."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from rlquant.errors import FileFormatError, StorageError


def make_folder(path: Path) -> None:
    """Make a folder and try to write into it; `StorageError` where that fails."""
    with about(path):
        path.mkdir(parents=True, exist_ok=True)
    probe = path / f".{secrets.token_hex(8)}.part"
    with about(path):
        try:
            probe.write_bytes(b"rlquant")
        finally:
            probe.unlink(missing_ok=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; `StorageError` where it cannot be written.

    Processes that write the same file at the same time leave one of the contents whole.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    with about(path):
        try:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path}: cannot be written ({reason}); is the disk full or the folder read-only?"
        ) from error


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Name the file that is read in every `FileFormatError` and in those of the operating system.

    Raises:
        StorageError: in place of an `OSError`.
    """
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
