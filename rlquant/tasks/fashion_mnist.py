"""Fashion-MNIST (Xiao et al. 2017): 70,000 images of clothes, 28x28, ten classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rlquant.errors import DataError
from rlquant.tasks.idx import read_idx
from rlquant.tasks.task import Samples, Splits

DATA_VARIABLE = "RLQUANT_DATA"
SUBFOLDER = "fashion-mnist"
PACKAGE_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CHECKSUMS: Mapping[str, str] = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}
"""What a downloaded file must be; other sources may have compressed the same data anew."""
REMEDY = (
    f"set {DATA_VARIABLE} to a folder with good copies of {', '.join(CHECKSUMS)}, or unset it and "
    f"install Debian's package dataset-fashion-mnist or allow the download"
)
CLASSES = 10
PIXEL_MEAN, PIXEL_STD = 0.2860, 0.3530
"""Of the training images, pixels in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images the files hold; validation images are the last of the training file."""

    train: int = 50_000
    validation: int = 10_000
    test: int = 10_000


def load_fashion_mnist(cache: Path, counts: Counts | None = None) -> Splits:
    """Load Fashion-MNIST; pixels are normalised to mean 0 and deviation 1.

    Args:
        cache: folder that a download goes to.
        counts: sizes to expect; the published ones by default.

    Raises:
        DataError: a file is missing, damaged, of another size, or cannot be downloaded.
    """
    counts = counts or Counts()
    folder = find_folder(cache)
    training = _read_samples(folder, "train", counts.train + counts.validation)
    inputs, targets = training
    return Splits(
        train=(inputs[: counts.train], targets[: counts.train]),
        validation=(inputs[counts.train :], targets[counts.train :]),
        test=_read_samples(folder, "t10k", counts.test),
        classes=CLASSES,
    )


def find_folder(cache: Path) -> Path:
    """Return the folder that holds the four files; download them to `cache` if nothing else does.

    `RLQUANT_DATA`, where it is set, is the only place that is looked at: a mistake in it must not
    go unnoticed.

    Raises:
        DataError: a file is missing in `RLQUANT_DATA`, or the download failed.
    """
    chosen = os.environ.get(DATA_VARIABLE)
    if chosen:
        folder = Path(chosen)
        subfolder = folder / SUBFOLDER
        folder = subfolder if subfolder.is_dir() else folder
        missing = [name for name in CHECKSUMS if not (folder / name).is_file()]
        if missing:
            raise DataError(
                f"{DATA_VARIABLE}={chosen!r}: {folder / missing[0]} is missing; {REMEDY}"
            )
        return folder
    if all((PACKAGE_FOLDER / name).is_file() for name in CHECKSUMS):
        return PACKAGE_FOLDER
    for name in CHECKSUMS:
        download(name, cache / SUBFOLDER)
    return cache / SUBFOLDER


def download(name: str, folder: Path) -> None:
    """Put the file `name` into `folder`, unless it is there already; whole or not at all.

    Raises:
        DataError: there is no connection, the file is not what was published, or `folder` cannot
            be written.
    """
    import pooch

    try:
        pooch.retrieve(ADDRESS + name, CHECKSUMS[name], fname=name, path=folder)
    except (OSError, ValueError) as error:  # connection and disk; checksum
        raise DataError(f"{folder / name} could not be downloaded: {error}; {REMEDY}") from error


def _read_samples(folder: Path, part: Literal["train", "t10k"], count: int) -> Samples:
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", (count, 28, 28), remedy=REMEDY)
    labels_file = folder / f"{part}-labels-idx1-ubyte.gz"
    labels: NDArray[np.uint8] = read_idx(labels_file, (count,), remedy=REMEDY)
    if labels.max() >= CLASSES:
        raise DataError(f"{labels_file} has label {labels.max()}, largest is 9; {REMEDY}")
    inputs = torch.tensor(images).unsqueeze(1).float()
    inputs = inputs.div_(255).sub_(PIXEL_MEAN).div_(PIXEL_STD)
    return inputs, torch.tensor(labels).long()
