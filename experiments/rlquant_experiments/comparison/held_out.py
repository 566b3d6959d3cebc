"""Networks that were found on images that no search saw, and their differences by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rlquant import measure
from rlquant.data import Data
from rlquant.objective import Classification
from rlquant.score import Measurement
from rlquant_experiments.comparison.statistics.statistics import Estimate, crossed_estimate

Images = npt.NDArray[np.float64]
"""One number for each image, shape `(images,)`."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The loss and the answer of one network for each image.

    Attributes:
        losses: cross-entropy of each, shape `(images,)`.
        correct: 1 where the answer is right, else 0, shape `(images,)`.
    """

    losses: Images
    correct: Images


class _PerImage:
    """`Classification`, which keeps the loss and the answer of each image."""

    name = "classification, per image"

    def __init__(self) -> None:
        self.check = Classification().check
        self.losses: list[Tensor] = []
        self.correct: list[Tensor] = []

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.losses.append(Classification().losses(outputs, targets))
        self.correct.append(outputs.argmax(dim=1) == targets)
        return Classification()(outputs, targets)


def measure_images(network: nn.Module, data: Data) -> tuple[Measurement, HeldOut]:
    """Return what `measure` does, and the images' own numbers, of which it is the mean."""
    objective = _PerImage()
    measured = measure(network, data, objective=objective)
    losses, correct = (
        torch.cat(parts).double().cpu().numpy() for parts in (objective.losses, objective.correct)
    )
    return measured, HeldOut(losses, correct)


def paired_differences(
    own: Sequence[HeldOut], others: Sequence[HeldOut]
) -> tuple[Estimate, Estimate]:
    """Return the mean differences of loss and of accuracy, own less others'.

    Networks are paired by seed and answers by image. Both seeds and images are drawn again for the
    intervals. A searcher that ran once is paired with every seed of the other.

    Args:
        own: of one searcher, one for each seed.
        others: of the other searcher.
    """
    return (
        crossed_estimate(_stack(own, "losses") - _stack(others, "losses")),
        crossed_estimate(_stack(own, "correct") - _stack(others, "correct")),
    )


def _stack(found: Sequence[HeldOut], field: str) -> npt.NDArray[np.float64]:
    return np.array([getattr(one, field) for one in found])
