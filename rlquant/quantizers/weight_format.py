"""What a weight format is: how weights of one kind are quantized, trained, stored and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlquant.config import GroupSize, LayerChoice
from rlquant.quantizers.fake import FakeQuantized, Round
from rlquant.quantizers.groups import to_rows
from rlquant.quantizers.rounding import layer_generator
from rlquant.quantizers.tensor import (
    PRESCRIBED,
    TERNARY_CODES_PER_BYTE,
    CodebookKind,
    QuantizedTensor,
    storage_dtype,
)

NEGLIGIBLE = 2.0**-10
"""A group of so many consecutive weights does not decide how scales are stored if its largest
weight is at most this share of the layer's largest."""

Fitted = Tensor | None
"""What is fitted once per layer: scales as they are stored, points, or nothing."""


class NumberCounts(NamedTuple):
    """How many scales, offsets (or zero points) and codebook values a quantized layer stores."""

    scales: int
    offsets: int
    values: int


class GroupFacts(NamedTuple):
    """What the size of a weight depends on once its groups are chosen.

    Attributes:
        groups: number of groups.
        smallest: smallest non-zero over the groups of max |w|; 0 if all are zero. Of groups that
            are parts of a channel, those count that are not negligible.
        largest: largest of the same, the tensor's max |w|.
    """

    groups: int
    smallest: float
    largest: float

    @classmethod
    def of(cls, weight: Tensor, group_size: GroupSize, channel_axis: int) -> GroupFacts:
        """Read the facts off a weight."""
        magnitudes = to_rows(weight.detach(), group_size, channel_axis).abs().amax(dim=1)
        largest = float(magnitudes.max())
        counts = 0.0 if isinstance(group_size, str) else largest * NEGLIGIBLE
        present = magnitudes[magnitudes > counts]
        smallest = float(present.min()) if len(present) else 0.0
        return cls(len(magnitudes), smallest, largest)


@dataclass(frozen=True, slots=True)
class WeightForm:
    """How one layer's weight is stored, decided by its choice and its float weight.

    Attributes:
        choice: canonical choice of the layer.
        format: of the choice.
        channel_axis: output-channel axis of the weight.
        scale_dtype: type in which scales, offsets and codebook are stored. The float weight
            decides it, so that the size is known before anything is trained.
        seed: of random draws, together with the layer's name.
    """

    choice: LayerChoice
    format: WeightFormat
    channel_axis: int
    scale_dtype: torch.dtype
    seed: int

    @property
    def group_size(self) -> GroupSize:
        """The weights that share a scale."""
        return self.format.group_size(self.choice)

    @property
    def generator(self) -> torch.Generator:
        """The generator of the draw that is stored: always at its start."""
        return layer_generator(self.seed, self.choice.layer)

    def groups(self) -> dict[str, Any]:
        """Return the arguments that say which weights share a scale."""
        return {"group_size": self.group_size, "channel_axis": self.channel_axis}

    def common(self, generator: torch.Generator) -> dict[str, Any]:
        """Return the arguments that say how weights are grouped, rounded and stored."""
        rounding = {"rounding": self.choice.rounding, "generator": generator}
        return {**self.groups(), **rounding, "scale_dtype": self.scale_dtype}

    @property
    def has_plain_groups(self) -> bool:
        """Whether groups are output channels at axis 0, or the whole weight."""
        one_each = self.group_size == "channel" and self.channel_axis == 0
        return one_each or self.group_size == "tensor"

    def fake_groups(self) -> dict[str, Any]:
        """Return the arguments of the fake quantizers of plain groups."""
        return {"channels": self.group_size != "tensor", "scale_dtype": self.scale_dtype}


Fit = Callable[[Tensor, WeightForm], Fitted]
Assign = Callable[[Tensor, Fitted, WeightForm, torch.Generator], QuantizedTensor]
Quantize = Callable[[Tensor, Tensor | None, WeightForm], QuantizedTensor]
Fake = Callable[[Tensor, Fitted, WeightForm, Round], FakeQuantized]


def fits_nothing(weight: Tensor, form: WeightForm) -> Fitted:
    """Return None: scale and points follow from the weights at every assignment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFormat:
    """How weights of one kind are quantized, trained and stored.

    Attributes:
        name: the name in `LayerChoice.points`, or that of a method with points of its own.
        kind: of the codebook; the values of "stored" and "ternary" ones are in the file.
        assign: gives the quantized weight.
        fit: what is decided once per layer, before weights are assigned.
        quantize: the quantized weight where training has no part in it, by what the weights'
            squared errors count (shape of the weight; None for alike); it may place groups other
            than `assign` does. None where it is what was fitted and assigned.
        fake: the values of `assign` for training steps, faster, on a weight whose rows (axis 0)
            are the groups or that is one group; None where training takes `assign`.
        has_offset: whether groups store an offset or a zero point beside their scale.
        has_zero_point: whether it is a zero point.
        per_tensor: whether nothing is stored per group, whatever the group size says.
        fixed_scale: whether scales stay those of the float weight while weights are trained.
        mirrored: whether points reach as far below 0 as above.
        restricted_scales: whether scales are only some numbers (multiples of one that many groups
            share, powers of two), so that they take 32 bits in the packed file and are not fitted
            to codes.
        signed: whether scales may be below 0.
        layout: points of ours under which files hold it, where it is not one of ours.
    """

    name: str
    kind: CodebookKind
    assign: Assign
    fit: Fit = fits_nothing
    quantize: Quantize | None = None
    fake: Fake | None = None
    has_offset: bool = False
    has_zero_point: bool = False
    per_tensor: bool = False
    fixed_scale: bool = False
    mirrored: bool = False
    restricted_scales: bool = False
    signed: bool = False
    layout: str | None = None

    def group_size(self, choice: LayerChoice) -> GroupSize:
        """Return the weights that share a scale."""
        return "tensor" if self.per_tensor else choice.group_size

    def numbers(self, bits: int, groups: int) -> NumberCounts:
        """Count what is stored beside the codes; of ternary weights -Wn and +Wp alone."""
        if self.kind == "ternary":
            return NumberCounts(0, 0, 2)
        values = 2**bits if self.kind == "stored" else 0
        return NumberCounts(groups, groups if self.has_offset else 0, values)

    def scale_dtype(self, facts: GroupFacts, bits: int) -> torch.dtype:
        """Return the type in which scales, offsets and codebook are stored."""
        if self.restricted_scales:
            return torch.float32
        if self.kind in PRESCRIBED:  # what the largest point takes, with its sign
            bits = max(map(abs, PRESCRIBED[self.kind])).bit_length() + 1
        return storage_dtype(facts.smallest, facts.largest, bits, offset=self.has_offset)

    def code_count(self, bits: int) -> int:
        """Return the number of different codes."""
        count: int = 2**bits
        return 3 if self.kind == "ternary" else len(PRESCRIBED.get(self.kind, ())) or count

    def code_bits(self, bits: int, weights: int) -> int:
        """Return the bits of the codes; ternary ones are stored five to a byte."""
        if self.kind == "ternary":
            return 8 * -(-weights // TERNARY_CODES_PER_BYTE)
        return weights * bits

    def code_bytes(self, bits: int, weights: int) -> int:
        """Return the bytes of the codes in the file: blocks of eight (ternary: five) codes."""
        if self.kind == "ternary":
            return -(-weights // TERNARY_CODES_PER_BYTE)
        return -(-weights // 8) * bits
