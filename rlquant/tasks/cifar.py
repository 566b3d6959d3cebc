"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 60,000 colour images of 32x32, binary versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlquant.errors import DataError
from rlquant.tasks.published_files import PublishedFiles
from rlquant.tasks.tar_members import read_members
from rlquant.tasks.task import Counts, Samples, Splits

ADDRESS = "https://www.cs.toronto.edu/~kriz/"
IMAGE_SHAPE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32

COUNTS = Counts(train=45_000, validation=5_000, test=10_000)
PerChannel = tuple[float, float, float]
"""Of the red, green and blue pixels of the training images, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarDataSet:
    """One of the two data sets: a tar archive of files of records.

    A record is one byte for each kind of label, then the image: all red pixels, all green ones,
    all blue ones, row by row.

    Attributes:
        files: the one archive.
        training: names of its files of training images, with equally many each.
        test: name of its file of test images.
        label_kinds: how many classes each label byte of a record knows; the last one is used.
        mean: of the training images.
        std: standard deviation of the same pixels.
        counts: how many images the archive holds.

    Source: A. Krizhevsky, "The CIFAR-10 dataset", binary version.
    """

    files: PublishedFiles
    training: tuple[str, ...]
    test: str
    label_kinds: tuple[int, ...]
    mean: PerChannel
    std: PerChannel
    counts: Counts = COUNTS

    def load(self, cache: Path) -> Splits:
        """Load the data set; pixels are normalised to mean 0 and deviation 1 in each channel.

        Args:
            cache: folder that a download goes to.

        Raises:
            DataError: the archive is missing, damaged, of another data set or size, or cannot be
                downloaded.
        """
        (name,) = self.files.checksums
        path = self.files.find_folder(cache) / name
        record = len(self.label_kinds) + IMAGE_BYTES
        each = (self.counts.train + self.counts.validation) // len(self.training)
        sizes = dict.fromkeys(self.training, each * record) | {self.test: self.counts.test * record}
        contents = read_members(path, sizes, remedy=self.files.remedy)
        training = b"".join(contents.pop(member) for member in self.training)
        return Splits.of(
            self._samples(path, "training", training),
            self._samples(path, "test", contents[self.test]),
            self.counts,
            self.label_kinds[-1],
        )

    def _samples(self, path: Path, part: str, content: bytes) -> Samples:
        kinds = len(self.label_kinds)
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, kinds + IMAGE_BYTES)
        for label, classes in zip(records[:, :kinds].T, self.label_kinds, strict=True):
            self._require_labels(path, part, label, classes)
        inputs = torch.from_numpy(records[:, kinds:].astype(np.float32)).view(-1, *IMAGE_SHAPE)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        inputs = inputs.div_(255).sub_(mean).div_(std)
        return inputs, torch.from_numpy(records[:, kinds - 1].astype(np.int64))

    def _require_labels(
        self, path: Path, part: str, labels: NDArray[np.uint8], classes: int
    ) -> None:
        if labels.max() >= classes:
            raise DataError(
                f"{path}: its {part} images have label {labels.max()}, largest is {classes - 1}; "
                f"{self.files.remedy}"
            )


CIFAR10 = CifarDataSet(
    files=PublishedFiles(
        subfolder="cifar10",
        address=ADDRESS,
        checksums={"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
    ),
    training=tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
    test="cifar-10-batches-bin/test_batch.bin",
    label_kinds=(10,),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)
CIFAR100 = CifarDataSet(
    files=PublishedFiles(
        subfolder="cifar100",
        address=ADDRESS,
        checksums={"cifar-100-binary.tar.gz": "md5:03b5dce01913d631647c71ecec9e9cb8"},
    ),
    training=("cifar-100-binary/train.bin",),
    test="cifar-100-binary/test.bin",
    label_kinds=(20, 100),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
