"""scikit-learn's handwritten digits: 1,797 images of 8x8, bundled with it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rlquant.tasks.task import Samples, Splits

CLASSES = 10
VALIDATION_IMAGES = 397
TEST_IMAGES = 400
LARGEST_PIXEL = 16.0
SPLIT_SEED = 0


def load_digits() -> Splits:
    """Load the digits: 1,000 images to train, 397 to validate, 400 to test; pixels in [0, 1].

    The split is the same on every machine, and every class has about the same share of each part.
    """
    from sklearn.datasets import load_digits as load_bundled
    from sklearn.model_selection import train_test_split

    images, labels = load_bundled(return_X_y=True)

    def split(index: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
        parts: list[NDArray[np.int64]] = train_test_split(
            index, test_size=size, stratify=labels[index], random_state=SPLIT_SEED
        )
        return parts

    def select(index: NDArray[np.int64]) -> Samples:
        pixels = (images[index] / LARGEST_PIXEL).astype(np.float32).reshape(-1, 1, 8, 8)
        return torch.from_numpy(pixels), torch.from_numpy(labels[index].astype(np.int64))

    rest, test = split(np.arange(len(labels)), TEST_IMAGES)
    train, validation = split(rest, VALIDATION_IMAGES)
    return Splits(select(train), select(validation), select(test), CLASSES)
