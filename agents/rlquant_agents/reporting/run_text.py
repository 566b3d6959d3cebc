"""The text files of a run, read with errors that say how its folder is mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlquant.errors import FileFormatError
from rlquant.files import reading

AGAIN = "give the same search again: it goes on in the folder, computes nothing twice, and ends it"
"""What mends a folder whose search has not ended, or that lacks a file."""
MOVE_AWAY = f"move it away and {AGAIN}"
"""What mends a folder with a damaged file."""


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        FileFormatError: it is missing, or no text.
        StorageError: it cannot be read.
    """
    with reading(path):
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise FileFormatError(f"it is missing; {AGAIN}") from error
        except UnicodeDecodeError as error:
            raise FileFormatError(f"it is no text ({error}); {MOVE_AWAY}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises:
        FileFormatError: it is missing, or holds no object.
        StorageError: it cannot be read.
    """
    text = read_text(path)
    with reading(path):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise FileFormatError(f"it is damaged ({error}); {MOVE_AWAY}") from error
        if not isinstance(document, dict):
            raise FileFormatError(f"it is damaged (no object); {MOVE_AWAY}")
    return document
