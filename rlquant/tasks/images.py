"""Images in a folder or tar archive of the user's: untrusted files, read one by one."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rlquant.documents.files import read_file, require_regular
from rlquant.errors import DataError, FileFormatError

MOST_BYTES = 2**24
MOST_PIXELS = 2**25
"""What one image may have."""
NAME = re.compile(r".+\.(?:jpe?g|png)", re.IGNORECASE | re.DOTALL)


class ImageSource(Protocol):
    """Image files, by name."""

    def names(self) -> list[str]:
        """Return the names of all JPEG and PNG files, sorted."""

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield the contents of files."""


def image_source(place: Path) -> ImageSource:
    """Return the images in a .tar, or in a folder: in its only .tar if there is one.

    Raises:
        DataError: nothing is there.
    """
    if place.is_dir():
        archives = sorted(place.glob("*.tar"))
        return _Tar(archives[0]) if len(archives) == 1 else _Folder(place)
    if not place.is_file():
        raise DataError(f"{place} is no folder and no .tar of images")
    return _Tar(place)


class _Folder:
    """A folder, and the folders in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        found = (path.relative_to(self._path).as_posix() for path in self._path.rglob("*.*"))
        return sorted(name for name in found if NAME.fullmatch(name))

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        for name in names:
            try:
                yield read_file(self._path / name, MOST_BYTES)
            except (OSError, FileFormatError) as error:
                raise DataError(f"{self._path / name} cannot be read: {error}") from error


class _Tar:
    """A plain tar archive; nothing of it is unpacked to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        return sorted(name for name in self._members() if NAME.fullmatch(name))

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        members = self._members()
        with tarfile.open(self._path, "r:") as archive:
            for name in names:
                file = archive.extractfile(members[name])
                if file is None or members[name].size > MOST_BYTES:
                    raise DataError(f"{self._path}: {name} has more than {MOST_BYTES:,} bytes")
                yield file.read()

    def _members(self) -> dict[str, tarfile.TarInfo]:
        try:
            require_regular(self._path)
            with tarfile.open(self._path, "r:") as archive:
                return {member.name: member for member in archive if member.isreg()}
        except (OSError, FileFormatError, tarfile.TarError) as error:
            raise DataError(f"{self._path} cannot be read: {error}; give a plain .tar") from error


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Return names in a random order."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return [names[i] for i in torch.randperm(len(names), generator=generator).tolist()]


def middle_squares(
    source: ImageSource, names: Sequence[str], side: int, margin: float
) -> Iterator[Tensor]:
    """Yield the middle of each named image; see `middle_square`, errors name the image."""
    for name, content in zip(names, source.contents(names), strict=True):
        try:
            yield middle_square(content, side, margin)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error


def middle_square(content: bytes, side: int, margin: float) -> Tensor:
    """Return the middle of an image, uint8 `(3, side, side)`.

    Args:
        content: of a JPEG or PNG file.
        side: height and width.
        margin: the image is first resized so that its shorter side is so many times as long.

    Raises:
        DataError: it is no such file, a damaged one, or too large.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"an image has {image.width} x {image.height} pixels")
            colours = image.convert("RGB")
    except DataError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"an image is damaged, or neither JPEG nor PNG: {error}") from error
    shorter = round(side * margin)
    scale = shorter / min(colours.size)
    if scale != 1:
        width, height = (max(shorter, round(length * scale)) for length in colours.size)
        colours = colours.resize((width, height), Image.Resampling.BICUBIC)
    left, top = ((length - side) // 2 for length in colours.size)
    cut = np.array(colours.crop((left, top, left + side, top + side)))
    return torch.from_numpy(cut).permute(2, 0, 1)
