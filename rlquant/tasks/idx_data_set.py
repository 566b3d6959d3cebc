"""Data sets in MNIST's form: grey images of 28x28 and ten classes, in four idx files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rlquant.errors import DataError
from rlquant.tasks.idx import read_idx
from rlquant.tasks.published_files import PublishedFiles
from rlquant.tasks.task import Counts, Samples, Splits

CLASSES = 10
SIDE = 28
COUNTS = Counts(train=50_000, validation=10_000, test=10_000)
MEAN_TOLERANCE = 0.02
"""Data sets of this form differ by more (Fashion-MNIST from MNIST by 0.155)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdxDataSet:
    """A data set in MNIST's form.

    Attributes:
        name: as people write it.
        files: the four files.
        mean: of the training images, pixels in [0, 1].
        std: standard deviation of the same pixels.
        counts: how many images the files hold.
    """

    name: str
    files: PublishedFiles
    mean: float
    std: float
    counts: Counts = COUNTS

    def load(self, cache: Path) -> Splits:
        """Load the data set; pixels are normalised to mean 0 and deviation 1.

        Args:
            cache: folder that a download goes to.

        Raises:
            DataError: a file is missing, damaged, of another size or another data set, or cannot
                be downloaded.
        """
        folder = self.files.find_folder(cache)
        counts = self.counts
        training = self._read_samples(folder, "train", counts.train + counts.validation)
        test = self._read_samples(folder, "t10k", counts.test)
        return Splits.of(training, test, counts, CLASSES)

    def _read_samples(self, folder: Path, part: Literal["train", "t10k"], count: int) -> Samples:
        images_file = folder / f"{part}-images-idx3-ubyte.gz"
        images = read_idx(images_file, (count, SIDE, SIDE), remedy=self.files.remedy)
        self._require_own_images(images_file, images)
        labels_file = folder / f"{part}-labels-idx1-ubyte.gz"
        labels: NDArray[np.uint8] = read_idx(labels_file, (count,), remedy=self.files.remedy)
        if labels.max() >= CLASSES:
            raise DataError(
                f"{labels_file} has label {labels.max()}, largest is {CLASSES - 1}; "
                f"{self.files.remedy}"
            )
        inputs = torch.tensor(images).unsqueeze(1).float()
        inputs = inputs.div_(255).sub_(self.mean).div_(self.std)
        return inputs, torch.tensor(labels).long()

    def _require_own_images(self, path: Path, images: NDArray[np.uint8]) -> None:
        """Refuse another data set's images: the names of the files do not tell them apart."""
        mean = float(images.mean()) / 255
        if abs(mean - self.mean) > MEAN_TOLERANCE:
            raise DataError(
                f"{path} holds images with a mean of {mean:.3f}, those of {self.name} have "
                f"{self.mean:.3f}, so they are of another data set; {self.files.remedy}"
            )
