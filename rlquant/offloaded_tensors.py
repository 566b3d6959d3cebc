"""Tensors offloaded to a temporary file: read anew each time they are asked for."""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    shape: torch.Size
    dtype: torch.dtype


class OffloadFile:
    """A temporary file without a name, which goes with the last tensors in it.

    Raises:
        OSError: no folder for temporary files can be written.
    """

    def __init__(self) -> None:
        # unbuffered: it is written in large parts, and read at any place
        self._file: BinaryIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is kept
        weakref.finalize(self, self._file.close)
        self._end = 0

    def offload(self, tensors: Mapping[str, Tensor]) -> OffloadedTensors:
        """Write tensors of the CPU behind what is there.

        Raises:
            OSError: the disk is full, or fails.
        """
        places = {}
        for name, tensor in tensors.items():
            offset, content = self._end, _bytes(tensor.contiguous())
            self._file.seek(offset)
            while content:
                content = content[self._file.write(content) :]
            places[name] = _Place(offset, tensor.shape, tensor.dtype)
            self._end = self._file.tell()
        return OffloadedTensors(self, places)

    def read(self, place: _Place) -> Tensor:
        """Return a new tensor with what stands at a place."""
        found = torch.empty(place.shape, dtype=place.dtype)
        if found.nbytes:  # mapped, as processes that were forked share one position in the file
            with (
                mmap.mmap(self._file.fileno(), self._end, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as whole,
                whole[place.offset : place.offset + found.nbytes] as part,
            ):
                _bytes(found)[:] = part
        return found


class OffloadedTensors(Mapping[str, Tensor]):
    """Tensors by name that are kept on disk; each access reads one into memory of its own."""

    def __init__(self, file: OffloadFile, places: Mapping[str, _Place]) -> None:
        self._file, self._places = file, dict(places)

    def __getitem__(self, name: str) -> Tensor:
        return self._file.read(self._places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _bytes(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
