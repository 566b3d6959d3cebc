from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rlquant.errors import DataError
from rlquant.tasks.cifar import CIFAR10, CIFAR100, CifarDataSet
from rlquant.tasks.task import Counts

TINY = Counts(train=15, validation=5, test=4)
TINY10, TINY100 = replace(CIFAR10, counts=TINY), replace(CIFAR100, counts=TINY)
BOTH = pytest.mark.parametrize("data_set", [TINY10, TINY100], ids=["cifar10", "cifar100"])


def records(data_set: CifarDataSet) -> NDArray[np.uint8]:
    """20 training and 4 test records; record i has i modulo the classes for each label."""
    random = np.random.default_rng(0)
    kinds = data_set.label_kinds
    made = random.integers(0, 256, (24, len(kinds) + 3072), dtype=np.uint8)
    for column, classes in enumerate(kinds):
        made[:, column] = np.arange(24) % classes
    return made


def write(folder: Path, data_set: CifarDataSet, made: NDArray[np.uint8]) -> Path:
    """Write an archive as the published ones are, other files and folders included."""
    folder.mkdir(parents=True, exist_ok=True)
    (name,) = data_set.files.checksums
    files = np.split(made, [*range(20 // len(data_set.training), 21, 20 // len(data_set.training))])
    with tarfile.open(folder / name, "w:gz") as archive:
        add(archive, "readme.html", b"<html>")
        for member, content in zip((*data_set.training, data_set.test), files, strict=True):
            add(archive, member, content.tobytes())
    return folder / name


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@BOTH
def test_validation_is_the_end_of_the_training_files(folder: Path, data_set: CifarDataSet) -> None:
    made = records(data_set)
    write(folder / data_set.files.subfolder, data_set, made)
    splits = data_set.load(folder / "cache")
    assert splits.input_shape == (3, 32, 32)
    assert splits.classes == data_set.label_kinds[-1]
    targets = [part[1].tolist() for part in (splits.train, splits.validation, splits.test)]
    classes = [i % splits.classes for i in range(24)]
    assert targets == [classes[:15], classes[15:20], classes[20:]]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data_set.mean, data_set.std))
    pixels = torch.tensor(made[15:20, len(data_set.label_kinds) :]).view(5, 3, 32, 32)
    assert torch.allclose(splits.validation[0], (pixels / 255 - mean) / std, atol=1e-6)
    assert splits.train[0].dtype == torch.float32
    assert splits.train[1].dtype == torch.int64


def test_an_image_is_its_red_green_and_blue_plane_row_by_row(folder: Path) -> None:
    made = records(TINY10)
    made[0, 1:] = 0
    made[0, 1 + 1024 + 32 * 3 + 7] = 255  # green, row 3, column 7
    write(folder, TINY10, made)
    image = TINY10.load(folder).train[0][0]
    assert torch.nonzero(image > 1).tolist() == [[1, 3, 7]]


@BOTH
def test_a_download_lands_in_the_cache(
    folder: Path, serve, monkeypatch: pytest.MonkeyPatch, data_set: CifarDataSet
) -> None:
    monkeypatch.delenv("RLQUANT_DATA")
    archive = write(folder / "published", data_set, records(data_set))
    checksums = {archive.name: f"md5:{hashlib.md5(archive.read_bytes()).hexdigest()}"}
    files = replace(data_set.files, address=serve(archive.parent), checksums=checksums)
    splits = replace(data_set, files=files).load(folder / "cache")
    assert len(splits.test[1]) == 4
    assert (folder / "cache" / files.subfolder / archive.name).is_file()


@BOTH
@pytest.mark.parametrize(("place", "part"), [(0, "training"), (23, "test")])
def test_a_label_out_of_range_is_an_error(
    folder: Path, data_set: CifarDataSet, place: int, part: str
) -> None:
    for column, classes in enumerate(data_set.label_kinds):
        made = records(data_set)
        made[place, column] = classes
        write(folder, data_set, made)
        words = f"its {part} images have label {classes}, largest is {classes - 1}; set RLQUANT_DA"
        with pytest.raises(DataError, match=words):
            data_set.load(folder)


@BOTH
def test_an_archive_of_another_size_is_an_error(folder: Path, data_set: CifarDataSet) -> None:
    write(folder, data_set, records(data_set))
    more = replace(data_set, counts=Counts(15, 5, 5))
    with pytest.raises(DataError, match=r"test\w*\.bin with \d+ bytes, expected a regular file of"):
        more.load(folder)


def test_the_other_archive_under_this_name_is_an_error(folder: Path) -> None:
    other = write(folder, TINY100, records(TINY100))
    other.rename(folder / "cifar-10-binary.tar.gz")
    words = r"holds no cifar-10-batches-bin/data_batch_1\.bin.*set RLQUANT_DATA"
    with pytest.raises(DataError, match=words):
        TINY10.load(folder)


def test_a_truncated_archive_is_an_error(folder: Path) -> None:
    path = write(folder, TINY10, records(TINY10))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is truncated.*set RLQUANT_DATA"):
        TINY10.load(folder)


@pytest.mark.parametrize("data_set", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def test_published_counts_give_the_published_sizes(data_set: CifarDataSet) -> None:
    assert data_set.counts == Counts(45_000, 5_000, 10_000)
    each = 50_000 // len(data_set.training) * (len(data_set.label_kinds) + 3072)
    assert each == {10: 30_730_000, 100: 153_700_000}[data_set.label_kinds[-1]]
