from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from rlquant.errors import DataError
from rlquant.tasks import fashion_mnist
from rlquant.tasks.fashion_mnist import Counts, load_fashion_mnist

TINY = Counts(train=20, validation=10, test=10)


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLQUANT_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "PACKAGE_FOLDER", tmp_path / "package")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_fashion_mnist
) -> Iterator[Path]:
    """A folder with the four files, served as the place to download them from."""
    folder = tmp_path / "published"
    contents = write_fashion_mnist(folder)
    checksums = {name: f"md5:{hashlib.md5(data).hexdigest()}" for name, data in contents.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    monkeypatch.setattr(fashion_mnist, "ADDRESS", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", checksums)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def test_validation_is_the_end_of_the_training_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_fashion_mnist
) -> None:
    write_fashion_mnist(tmp_path / "data")
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "data"))
    splits = load_fashion_mnist(tmp_path, TINY)
    assert splits.input_shape == (1, 28, 28)
    assert [len(part[1]) for part in (splits.train, splits.validation, splits.test)] == [20, 10, 10]
    first = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    expected = (torch.tensor(first[20]) / 255 - 0.2860) / 0.3530
    assert torch.allclose(splits.validation[0][0, 0], expected, atol=1e-6)
    assert splits.validation[1].tolist() == list(range(10))


def test_the_variable_may_name_the_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_fashion_mnist
) -> None:
    write_fashion_mnist(tmp_path / "data" / "fashion-mnist")
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "data"))
    assert len(load_fashion_mnist(tmp_path, TINY).test[0]) == 10


def test_the_variable_wins_and_a_mistake_in_it_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_fashion_mnist
) -> None:
    write_fashion_mnist(tmp_path / "package")
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte\.gz is missing; set RLQUANT_DATA"
    ):
        load_fashion_mnist(tmp_path, TINY)


def test_the_installed_package_is_used_before_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_fashion_mnist
) -> None:
    write_fashion_mnist(tmp_path / "package")
    monkeypatch.setattr(fashion_mnist, "download", None)
    assert len(load_fashion_mnist(tmp_path, TINY).test[0]) == 10


def test_damaged_files_name_the_file_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_fashion_mnist, write_idx
) -> None:
    write_fashion_mnist(tmp_path)
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"t10k-images.*says that it holds \(10, 28, 28\)"):
        load_fashion_mnist(tmp_path, Counts(20, 10, 11))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.full(10, 10, dtype=np.uint8))
    with pytest.raises(DataError, match=r"t10k-labels.*has label 10.*set RLQUANT_DATA"):
        load_fashion_mnist(tmp_path, TINY)


def test_a_download_lands_in_the_cache_and_is_done_once(published: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_fashion_mnist(cache, TINY)
    assert sorted(p.name for p in (cache / "fashion-mnist").iterdir()) == sorted(
        p.name for p in published.iterdir()
    )
    for file in published.iterdir():
        file.unlink()
    assert torch.equal(load_fashion_mnist(cache, TINY).train[0], first.train[0])


def test_a_cut_off_download_is_an_error_and_leaves_nothing(published: Path, tmp_path: Path) -> None:
    for file in published.iterdir():
        file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"train-images.*could not be downloaded.*RLQUANT_DATA"):
        load_fashion_mnist(tmp_path / "cache", TINY)
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_no_connection_is_an_error_that_says_what_to_do(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "ADDRESS", "http://127.0.0.1:1/")
    with pytest.raises(DataError, match="install Debian's package dataset-fashion-mnist"):
        load_fashion_mnist(tmp_path / "cache", TINY)
