"""The measured values of every configuration of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rlquant.errors import SettingsError, whole_number

Losses = npt.NDArray[np.float32]
Counts = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

MOST_SAMPLES = 2**32 - 1


def count_type(samples: int) -> npt.DTypeLike:
    """Return the type in which numbers of correct answers are kept."""
    return np.uint16 if samples < 2**16 else np.uint32


@dataclass(frozen=True, eq=False)
class Measured:
    """Loss and number of correct answers of every configuration, in C order.

    Attributes:
        losses: shape `(configurations,)`, float32; what is not finite becomes infinite.
        correct: shape `(configurations,)`, whole numbers of at most `samples`; uint16, or uint32
            from 65,536 samples on.
        samples: validation samples.

    Raises:
        SettingsError: other shapes, a number of samples below 1, more correct answers than samples
            or a number of them that is not whole.
    """

    losses: Losses
    correct: Counts
    samples: int

    def __post_init__(self) -> None:
        samples = whole_number("samples", self.samples, 1, MOST_SAMPLES)
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite there
            losses = np.array(self.losses, dtype=np.float32)
        losses[~np.isfinite(losses)] = np.inf
        counted = np.asarray(self.correct)
        if losses.ndim != 1 or counted.shape != losses.shape:
            raise SettingsError(
                f"losses have shape {losses.shape}, correct answers {counted.shape}; give one "
                f"number a configuration of each"
            )
        self._require_counts(counted, samples)
        correct = counted.astype(count_type(samples))
        for name, values in (("losses", losses), ("correct", correct)):
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @staticmethod
    def _require_counts(counted: npt.NDArray[Any], samples: int) -> None:
        whole = np.issubdtype(counted.dtype, np.integer)
        if not whole or (counted.size and not 0 <= counted.min() <= counted.max() <= samples):
            raise SettingsError(
                f"correct is of type {counted.dtype} with values outside 0..{samples} or not "
                f"whole; give the number of correct answers of each configuration"
            )

    def read(self) -> Measured:
        """Return itself: it is there already."""
        return self


class Source(Protocol):
    """Where measured values come from: arrays, or a file that is read when they are asked for."""

    def read(self) -> Measured:
        """Return the values."""
