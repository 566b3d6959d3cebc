"""All conversions of one fixed-point training run, each with its own draws, and what they count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from rlquant.config import Rounding
from rlquant.quantizers.rounding import layer_generator
from rlquant.training.fixed_point.number_format import NumberFormat, convert
from rlquant.training.settings import FixedPoint

Purpose = Literal["start", "update", "output", "error"]
"""What a tensor is to the run: a first weight, an update, an output, its error."""


def purpose_generator(seed: int, name: str, purpose: str) -> torch.Generator:
    """Return the generator of one tensor's draws for one purpose: the same in every process."""
    return layer_generator(seed, f"{name}:{purpose}")


class Arithmetic:
    """The formats in force, the converters that use them, and the counts since the last report."""

    def __init__(self, settings: FixedPoint | None, seed: int, *, counting: bool) -> None:
        """Start with the narrow word.

        Args:
            settings: None converts nothing: the float control.
            seed: of all draws.
            counting: whether saturation and lost updates are counted, which takes time.
        """
        self._settings = settings
        self._seed = seed
        self.counts = Counts() if counting and settings is not None else None

    @property
    def rounding(self) -> Rounding:
        """The rule of rounding."""
        return "nearest" if self._settings is None else self._settings.rounding

    @property
    def stored(self) -> NumberFormat | None:
        """Format of weights, biases and updates; None for float."""
        settings = self._settings
        if settings is None:
            return None
        return NumberFormat(settings.integer_bits, settings.fraction_bits)

    @property
    def passed(self) -> NumberFormat | None:
        """Format of inputs, layer outputs and errors; None for float."""
        return None if self._settings is None else NumberFormat(*self._settings.output_format)

    def widen(self) -> None:
        """Go over to the wide word; every number of the narrow one is a number of it."""
        if self._settings is not None:
            self._settings = self._settings.widened()

    def converter(self, name: str, purpose: Purpose) -> Converter:
        """Return the conversion of one tensor for one purpose."""
        return Converter(self, purpose, purpose_generator(self._seed, name, purpose))


class Converter:
    """Convert() of one tensor for one purpose, to the format that is in force at each call."""

    def __init__(
        self, arithmetic: Arithmetic, purpose: Purpose, generator: torch.Generator
    ) -> None:
        self._arithmetic = arithmetic
        self._purpose = purpose
        self._generator = generator

    def __call__(self, x: Tensor) -> Tensor:
        """Return `x`, float64 and without gradient, in the format; `x` itself for float."""
        arithmetic = self._arithmetic
        kept = self._purpose in ("start", "update")
        number_format = arithmetic.stored if kept else arithmetic.passed
        if number_format is None:
            return x
        saturated = None
        if arithmetic.counts is not None and self._purpose in ("output", "error"):
            saturated = arithmetic.counts.seen(self._purpose, x)
        return convert(x, number_format, arithmetic.rounding, self._generator, saturated)


class Counts:
    """Saturation and lost updates since the last report, added up on the device."""

    def __init__(self) -> None:
        self._totals: dict[str, int] = {}
        self._sums: dict[str, Tensor] = {}

    def seen(self, purpose: str, x: Tensor) -> Tensor:
        """Note that the elements of `x` are converted; returns the count of saturated ones."""
        self._totals[purpose] = self._totals.get(purpose, 0) + x.numel()
        return self._sum(f"saturated_{purpose}", x)

    def update(self, wanted: Tensor, applied: Tensor, number_format: NumberFormat) -> None:
        """Count the updates of one parameter.

        Args:
            wanted: the updates in float64.
            applied: the same, converted.
            number_format: what they were converted to.
        """
        # A number and its converted one never differ in sign, so magnitudes tell the direction.
        excess = torch.linalg.vector_norm(applied, 1) - torch.linalg.vector_norm(wanted, 1)
        moved, nonzero = (torch.count_nonzero(updates) for updates in (applied, wanted))
        self._add("wanted", nonzero)
        self._add("lost", nonzero - moved)
        self._add("excess", excess / number_format.step_size)
        distance = torch.linalg.vector_norm(applied - wanted) / number_format.step_size
        self._add("squared_excess", distance.square())

    def weights(self, wanted: Tensor, stored: Tensor) -> None:
        """Count the weights of one parameter that an update pushed out of the range."""
        self._totals["weight"] = self._totals.get("weight", 0) + wanted.numel()
        self._add("saturated_weight", torch.count_nonzero(wanted != stored))

    def take(self) -> Mapping[str, float]:
        """Return the figures since the last call, and begin again.

        "lost_updates" is the share of updates that should not be 0 and became 0. "update_bias" is
        the mean of what was applied minus what was wanted, in the direction wanted and in steps
        of the format, over the same updates (below 0: weights move less than they should), and
        "update_bias_error" its standard error. "saturated_weights", "saturated_outputs" and
        "saturated_errors" are shares.
        """
        sums = {name: float(value) for name, value in self._sums.items()}
        wanted = max(1.0, sums["wanted"])
        bias = sums["excess"] / wanted
        variance = max(0.0, sums["squared_excess"] / wanted - bias**2)
        figures = {
            "lost_updates": sums["lost"] / wanted,
            "update_bias": bias,
            "update_bias_error": math.sqrt(variance / wanted),
        }
        for purpose, total in self._totals.items():
            figures[f"saturated_{purpose}s"] = sums[f"saturated_{purpose}"] / total
        self._totals, self._sums = {}, {}
        return figures

    def _add(self, name: str, value: Tensor) -> None:
        self._sum(name, value).add_(value)

    def _sum(self, name: str, like: Tensor) -> Tensor:
        if name not in self._sums:
            self._sums[name] = torch.zeros((), dtype=torch.float64, device=like.device)
        return self._sums[name]
