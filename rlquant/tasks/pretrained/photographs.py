"""Labelled photographs of ImageNet's classes, from a folder or tar of the user's."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlquant.documents.files import read_file, require_regular
from rlquant.errors import DataError, FileFormatError
from rlquant.paths import path_of
from rlquant.tasks.published_files import DATA_VARIABLE

CLASSES = 1000
MOST_PHOTOGRAPHS = 2000
"""So many are taken at the most; they fill 1.2 GB."""
MOST_BYTES = 2**24
MOST_PIXELS = 2**25
"""What one photograph may have."""
MARGIN = 256 / 224
"""Shorter side of a photograph over the square that is cut out of it."""
NAME = re.compile(r"(?:.*/)?(n\d{8})[^/]*\.jpe?g", re.IGNORECASE | re.DOTALL)
REMEDY = (
    f"set {DATA_VARIABLE} to a folder or .tar of photographs named by WordNet id (n01440764.jpg, "
    f"n01440764_10026.JPEG) of all {CLASSES} classes of ImageNet"
)


def load_photographs(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return photographs in a random order: their middle squares, and their classes.

    Args:
        size: height and width of the squares.
        seed: of the order, and of which are taken where there are many.

    Returns:
        Inputs `x / 127.5 - 1`, float32 `(n, 3, size, size)`, and targets, int64 `(n,)`: the places
        of the WordNet ids among those of all classes, sorted.

    Raises:
        DataError: `RLQUANT_DATA` does not lead to photographs of all classes, or one is damaged.
    """
    chosen = os.environ.get(DATA_VARIABLE)
    if not chosen:
        raise DataError(f"the photographs are missing: {REMEDY}")
    place = path_of(DATA_VARIABLE, chosen)
    try:
        source = _Tar(place) if place.is_file() else _folder_or_tar_in(place)
        ids = {name: match[1] for name in source.names() if (match := NAME.fullmatch(name))}
        classes = {wordnet_id: number for number, wordnet_id in enumerate(sorted({*ids.values()}))}
        if len(classes) != CLASSES:
            raise DataError(f"{place} has photographs of {len(classes)} classes: {REMEDY}")
        names = _shuffled(sorted(ids), seed)[:MOST_PHOTOGRAPHS]
        inputs = torch.empty(len(names), 3, size, size)
        for row, content in zip(inputs, source.contents(names), strict=True):
            row.copy_(square(content, size))
    except (OSError, FileFormatError, tarfile.TarError) as error:
        raise DataError(f"{place} cannot be read: {error}; {REMEDY}") from error
    return inputs, torch.tensor([classes[ids[name]] for name in names])


def square(content: bytes, size: int) -> Tensor:
    """Return the middle of a JPEG file as `x / 127.5 - 1`, `(3, size, size)`.

    Raises:
        FileFormatError: it is no JPEG file, a damaged one, or too large.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=("JPEG",)) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise FileFormatError(f"a photograph has {width} x {height} pixels")
            colours = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileFormatError(f"a photograph is damaged or no JPEG file: {error}") from error
    shorter = round(size * MARGIN)
    if min(colours.size) != shorter:
        scale = shorter / min(colours.size)
        target = (max(shorter, round(width * scale)), max(shorter, round(height * scale)))
        colours = colours.resize(target, Image.Resampling.BICUBIC)
    left, top = ((side - size) // 2 for side in colours.size)
    cut = np.asarray(colours.crop((left, top, left + size, top + size)), dtype=np.float32)
    return torch.from_numpy(cut / 127.5 - 1).permute(2, 0, 1)


def _shuffled(names: Sequence[str], seed: int) -> list[str]:
    generator = torch.Generator("cpu").manual_seed(seed)
    return [names[i] for i in torch.randperm(len(names), generator=generator).tolist()]


class _Tar:
    """A plain tar archive; nothing of it is unpacked to the disk."""

    def __init__(self, path: Path) -> None:
        require_regular(path)
        self._path = path

    def names(self) -> list[str]:
        with tarfile.open(self._path, "r:") as archive:
            return [member.name for member in archive if member.isreg()]

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        with tarfile.open(self._path, "r:") as archive:
            members = {member.name: member for member in archive if member.isreg()}
            for name in names:
                file = archive.extractfile(members[name])
                if file is None or members[name].size > MOST_BYTES:
                    raise FileFormatError(f"{name} has more than {MOST_BYTES:,} bytes")
                yield file.read()


class _Folder:
    """A folder, and the folders in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        return [path.relative_to(self._path).as_posix() for path in self._path.rglob("n*.*")]

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        return (read_file(self._path / name, MOST_BYTES) for name in names)


def _folder_or_tar_in(place: Path) -> _Folder | _Tar:
    """Return the only tar archive in a folder, or else the folder."""
    archives = sorted(place.glob("*.tar"))
    return _Tar(archives[0]) if len(archives) == 1 else _Folder(place)
