"""Tiny data files and a server that publishes them."""

from __future__ import annotations

import gzip
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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
def write_images(write_idx: WriteIdx) -> Callable[[Path, float], NDArray[np.uint8]]:
    """Write 30 training and 10 test images of a mean pixel in four files; return the first 30."""

    def write(folder: Path, mean: float) -> NDArray[np.uint8]:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        written = {}
        for part, count in (("train", 30), ("t10k", 10)):
            brightest = round(2 * mean * 255)
            written[part] = random.integers(0, brightest + 1, (count, 28, 28), dtype=np.uint8)
            labels = np.arange(count, dtype=np.uint8) % 10
            write_idx(folder / f"{part}-images-idx3-ubyte.gz", written[part])
            write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
        return written["train"]

    return write


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Publish a folder; return the address that its files are below."""
    servers = []

    def start(folder: Path) -> str:
        handler = partial(QuietHandler, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
