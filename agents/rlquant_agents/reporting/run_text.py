"""The text files of a run, read with errors that say how its folder is mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlquant import documents
from rlquant.documents import MOST_TEXT_BYTES, parse_json, read_as
from rlquant.errors import FileFormatError
from rlquant.files import reading

AGAIN = "give the same search again: it goes on in the folder, computes nothing twice, and ends it"
"""What mends a folder whose search has not ended, or that lacks a file."""
MOVE_AWAY = f"move it away and {AGAIN}"
"""What mends a folder with a damaged file."""


def read_text(path: Path, most: int = MOST_TEXT_BYTES) -> str:
    """Return the text of a file of at most so many bytes.

    Raises:
        FileFormatError: it is missing, or no text.
        StorageError: it cannot be read.
    """
    with reading(path):
        try:
            return documents.read_text(path, most)
        except FileNotFoundError as error:
            raise FileFormatError(f"it is missing; {AGAIN}") from error
        except FileFormatError as error:
            raise FileFormatError(f"{error}; {MOVE_AWAY}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises:
        FileFormatError: it is missing, or holds no object.
        StorageError: it cannot be read.
    """
    text = read_text(path)
    with damaged(path):
        return read_as(dict[str, Any], parse_json(text))


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Say of every fault in a file's content where it is and what to do."""
    with reading(path):
        try:
            yield
        except FileFormatError as error:
            raise FileFormatError(f"it is damaged ({error}); {MOVE_AWAY}") from error
