"""Fashion-MNIST and MNIST, from tiny files of their form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlquant.errors import DataError
from rlquant.tasks.fashion_mnist import FASHION_MNIST
from rlquant.tasks.idx_data_set import IdxDataSet
from rlquant.tasks.mnist import MNIST
from rlquant.tasks.task import Counts

TINY = Counts(train=20, validation=10, test=10)
BOTH = pytest.mark.parametrize("data_set", [FASHION_MNIST, MNIST], ids=lambda d: d.name)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path))
    return tmp_path


@BOTH
def test_validation_is_the_end_of_the_training_file(
    folder: Path, write_images, data_set: IdxDataSet
) -> None:
    first = write_images(folder, data_set.mean)
    splits = replace(data_set, counts=TINY).load(folder / "cache")
    assert splits.input_shape == (1, 28, 28)
    assert splits.classes == 10
    assert [len(part[1]) for part in (splits.train, splits.validation, splits.test)] == [20, 10, 10]
    expected = (torch.tensor(first[20]) / 255 - data_set.mean) / data_set.std
    assert torch.allclose(splits.validation[0][0, 0], expected, atol=1e-6)
    assert splits.validation[1].tolist() == list(range(10))


@BOTH
def test_published_counts_and_files(data_set: IdxDataSet) -> None:
    assert data_set.counts == Counts(50_000, 10_000, 10_000)
    assert len(set(data_set.files.checksums.values())) == 4
    assert data_set.files.subfolder == data_set.name.lower()


@BOTH
def test_damaged_files_name_the_file_and_the_remedy(
    folder: Path, write_images, write_idx, data_set: IdxDataSet
) -> None:
    write_images(folder, data_set.mean)
    with pytest.raises(DataError, match=r"t10k-images.*says that it holds \(10, 28, 28\)"):
        replace(data_set, counts=Counts(20, 10, 11)).load(folder)
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", np.full(10, 10, dtype=np.uint8))
    with pytest.raises(DataError, match=r"t10k-labels.*has label 10, largest is 9; set RLQUANT_DA"):
        replace(data_set, counts=TINY).load(folder)


def test_the_images_of_another_data_set_are_refused(folder: Path, write_images) -> None:
    write_images(folder, FASHION_MNIST.mean)
    words = r"mean of 0\.28\d, those of MNIST have 0\.131, .*another data set; set RLQUANT_DATA"
    with pytest.raises(DataError, match=words):
        replace(MNIST, counts=TINY).load(folder)
