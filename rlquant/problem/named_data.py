"""Samples that workers load by themselves, by name: not sent, and held to their fingerprints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rlquant.data import Data
from rlquant.errors import DataError
from rlquant.problem.construction import samples_of
from rlquant.problem.measuring import Measuring
from rlquant.samples import Samples

LoadData = Callable[[], tuple[Data, Data]]
"""Gives training and validation data again; can be pickled, as a function of a module can."""

LARGE = 2**26
"""Bytes of samples from which on workers load them, where there is something that does."""
NONE = Samples((), {})
"""In the place of samples that are not sent."""


@dataclass(frozen=True, eq=False)
class NamedData:
    """Where workers have the samples of a problem from, and what these must be.

    Attributes:
        load: gives the data.
        device: where samples are kept.
        fingerprints: of the samples of calibration and validation.
    """

    load: LoadData
    device: torch.device
    fingerprints: tuple[str, str]

    @classmethod
    def of(cls, measuring: Measuring, load: LoadData) -> NamedData:
        """Describe the samples that a problem has."""
        both = measuring.calibration, measuring.validation
        return cls(load, both[0].device, (both[0].fingerprint(), both[1].fingerprint()))

    def out_of(self, measuring: Measuring) -> Measuring:
        """Return the settings without the samples."""
        return dataclasses.replace(measuring, calibration=NONE, validation=NONE)

    def back_in(self, measuring: Measuring) -> Measuring:
        """Return the settings with the samples, loaded here.

        Raises:
            DataError: the data here are others.
        """
        found = samples_of(*self.load(), measuring.evaluation, measuring.racing, self.device)
        for name, samples, wanted in zip(
            ("train_data", "validation_data"), found, self.fingerprints, strict=True
        ):
            if samples.fingerprint() != wanted:
                raise DataError(
                    f"{name}: what a worker loads differs from what the search has; give workers "
                    f"the same files (RLQUANT_DATA), or have the search send the data"
                )
        return dataclasses.replace(measuring, calibration=found[0], validation=found[1])


def is_large(measuring: Measuring) -> bool:
    """Return whether samples are worth loading where they are needed, in place of sending them."""
    both = measuring.calibration, measuring.validation
    return sum(samples.nbytes for samples in both) >= LARGE
