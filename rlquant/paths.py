"""Arguments that name files or folders, as absolute paths."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

from rlquant.errors import SettingsError

PathLike: TypeAlias = str | os.PathLike[str]
"""What every call takes that is given a file or a folder."""
MOST_BYTES = 255
"""Of a name in a path, as file systems take it."""
SHOWN = 80
"""Characters of a wrong argument that an error shows."""


def path_of(name: str, value: Any) -> Path:
    """Return the absolute path that an argument means.

    It is made absolute at once, so that a later change of the working directory moves nothing, and
    a leading `~` is the user's home, as it is in a shell.

    Args:
        name: of the argument, for the error.
        value: text, bytes as the operating system has them, or an `os.PathLike`.

    Raises:
        SettingsError: something else, nothing at all, a NUL character, a name that is too long, or
            the home of a user whom the system does not know.
    """
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise _wrong(name, value, "give a path as text or pathlib.Path")
    text = os.fsdecode(value)
    if not text:
        raise _wrong(name, value, "an empty path; use '.' for the current folder")
    if "\0" in text:
        raise _wrong(name, value, "a path cannot contain the character NUL")
    longest = max(len(os.fsencode(part)) for part in (*Path(text).parts, ""))
    if longest > MOST_BYTES:
        raise _wrong(name, value, f"a name of {longest} bytes, use at most {MOST_BYTES}")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise _wrong(name, value, f"{error}; use ./~ for a file of that name") from error
    except FileNotFoundError as error:  # of the working directory, which has been deleted
        raise _wrong(name, value, "the current folder is gone; give a whole path") from error


def _wrong(name: str, value: Any, why: str) -> SettingsError:
    shown = repr(value)
    return SettingsError(f"{name}={shown[:SHOWN]}{'...' * (len(shown) > SHOWN)}: {why}")
