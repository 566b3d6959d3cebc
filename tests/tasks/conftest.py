"""Tiny idx files, and a digits task that trains in a moment."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

WriteIdx = Callable[[Path, NDArray[np.uint8]], bytes]


@pytest.fixture
def write_idx() -> WriteIdx:
    def write(path: Path, values: NDArray[np.uint8]) -> bytes:
        header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
        content = gzip.compress(header + values.tobytes())
        path.write_bytes(content)
        return content

    return write


@pytest.fixture
def write_fashion_mnist(write_idx: WriteIdx) -> Callable[[Path], dict[str, bytes]]:
    """Write 30 training and 10 test images in the four files; return their contents."""

    def write(folder: Path) -> dict[str, bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        contents = {}
        for part, count in (("train", 30), ("t10k", 10)):
            images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = np.arange(count, dtype=np.uint8) % 10
            for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
                name = f"{part}-{kind}-ubyte.gz"
                contents[name] = write_idx(folder / name, values)
        return contents

    return write
