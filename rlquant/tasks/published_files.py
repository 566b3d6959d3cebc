"""The files of a data set: where they may lie, and the download if they lie nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlquant.errors import DataError
from rlquant.paths import path_of

DATA_VARIABLE = "RLQUANT_DATA"


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package that holds the files, and the folder that it puts them in."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFiles:
    """The files of one data set.

    Attributes:
        subfolder: the data set's own folder, in `RLQUANT_DATA` and in the cache.
        address: what comes before a file's name where it is downloaded.
        checksums: what each downloaded file must be, as "md5:...", by name. Files from elsewhere
            are not held to it: they may be the same data, compressed again.
        package: where the files may be installed.
    """

    subfolder: str
    address: str
    checksums: Mapping[str, str]
    package: DebianPackage | None = None

    @property
    def remedy(self) -> str:
        """What to do about a missing or bad file where `RLQUANT_DATA` is set."""
        install = f"install Debian's package {self.package.name} or " if self.package else ""
        return f"{self._own_copies}, or unset it and {install}allow the download"

    @property
    def _own_copies(self) -> str:
        return f"set {DATA_VARIABLE} to a folder with good copies of {', '.join(self.checksums)}"

    def find_folder(self, cache: Path) -> Path:
        """Return the folder that holds the files; download them to `cache` if nothing else does.

        `RLQUANT_DATA`, where it is set, is the only place that is looked at, and in it the
        subfolder if there is one: a mistake in it must not go unnoticed.

        Raises:
            DataError: a file is missing in `RLQUANT_DATA`, or the download failed.
        """
        chosen = os.environ.get(DATA_VARIABLE)
        if chosen:
            folder = path_of(DATA_VARIABLE, chosen)
            subfolder = folder / self.subfolder
            folder = subfolder if subfolder.is_dir() else folder
            missing = self._missing(folder)
            if missing:
                raise DataError(
                    f"{DATA_VARIABLE}={chosen!r}: {folder / missing[0]} is missing; {self.remedy}"
                )
            return folder
        if self.package and not self._missing(self.package.folder):
            return self.package.folder
        for name in self.checksums:
            self.download(name, cache / self.subfolder)
        return cache / self.subfolder

    def download(self, name: str, folder: Path) -> None:
        """Put the file `name` into `folder`, unless it is there already; whole or not at all.

        Raises:
            DataError: there is no connection, the file is not what was published, or `folder`
                cannot be written.
        """
        import pooch

        try:
            pooch.retrieve(self.address + name, self.checksums[name], fname=name, path=folder)
        except (OSError, ValueError) as error:  # connection and disk; checksum
            package = self.package
            install = f"on Debian, `apt-get install {package.name}`; or " if package else ""
            raise DataError(
                f"{folder / name} could not be downloaded: {install}{self._own_copies} ({error})"
            ) from error

    def _missing(self, folder: Path) -> list[str]:
        return [name for name in self.checksums if not (folder / name).is_file()]
