"""Several files of one folder that are replaced together, whenever a process is killed.

They are written into a folder of their own, and count from the moment in which that gets its name:
until its files have been moved to their places, they are read from there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from rlquant.files import about, part_name, sync_folder, write_synced

COMMITTED = ".committed"
"""Name of the folder of files that are on their way to their places."""


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace files of a folder that nobody else writes: all of them or none.

    Args:
        folder: is there.
        files: contents by name.

    Raises:
        StorageError: they cannot be written.
    """
    part = folder / part_name()
    with about(folder):
        settle(folder, files)
        try:
            part.mkdir()
            for name, content in files.items():
                write_synced(part / name, content)
            sync_folder(part)
            os.rename(part, folder / COMMITTED)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        sync_folder(folder)
        settle(folder, files)


def settle(folder: Path, names: Iterable[str]) -> None:
    """Move files that a killed process had committed to their places."""
    committed = folder / COMMITTED
    if committed.is_symlink() or not committed.is_dir():  # what a link leads to is not ours
        return
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # it was moved before the kill
            os.replace(committed / name, folder / name)
    sync_folder(folder)
    shutil.rmtree(committed)


def current(folder: Path, name: str) -> Path:
    """Return where a file of a group is read, whether or not it is there."""
    committed = folder / COMMITTED / name
    return committed if os.path.exists(committed) else folder / name
