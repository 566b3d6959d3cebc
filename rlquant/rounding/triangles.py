"""Lower triangles of square matrices, in little more than half of the memory of the matrices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 128
"""Rows of a block; of each block the columns up to its last row are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Triangles:
    """The lower triangles, diagonals included, of some square matrices of one size.

    Attributes:
        blocks: `matrix[:, start:stop, :stop]` for every block of rows.
    """

    blocks: tuple[Tensor, ...]

    @classmethod
    def of(cls, matrices: Tensor) -> Triangles:
        """Keep a copy of the lower triangles of matrices, shape `(count, size, size)`."""
        stops = range(ROWS, matrices.shape[1] + ROWS, ROWS)
        blocks = (matrices[:, stop - ROWS : stop, :stop] for stop in stops)
        return cls(tuple(each.clone(memory_format=torch.contiguous_format) for each in blocks))

    def triangular(self) -> Tensor:
        """Return the lower triangular matrices, shape `(count, size, size)`."""
        found = self._empty().zero_()
        for start, stop, block in self._placed():
            found[:, start:stop, :stop] = block
        return found.tril_()

    def symmetric(self) -> Tensor:
        """Return the symmetric matrices, shape `(count, size, size)`."""
        found = self._empty()
        for start, stop, block in self._placed():
            found[:, start:stop, :stop] = block
            found[:, :start, start:stop] = block[:, :, :start].mT
            own = block[:, :, start:]
            found[:, start:stop, start:stop] = own.tril() + own.tril(-1).mT
        return found

    @property
    def nbytes(self) -> int:
        """The memory that they take."""
        return sum(block.nbytes for block in self.blocks)

    def _empty(self) -> Tensor:
        last = self.blocks[-1]
        return last.new_empty(len(last), last.shape[2], last.shape[2])

    def _placed(self) -> Iterator[tuple[int, int, Tensor]]:
        """Yield each block with the first of its rows and the first behind it."""
        for block in self.blocks:
            stop = block.shape[2]
            yield stop - block.shape[1], stop, block
