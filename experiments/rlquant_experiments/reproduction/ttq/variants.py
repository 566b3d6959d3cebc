"""The ways of training that are compared, and their names in runs and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlquant.training.mixed_network import WeightMaker, trainable_weight
from rlquant_experiments.reproduction.ttq.weights import (
    binary,
    closed_form,
    one_scale,
    ternary_weight_network,
    two_scales,
)

THRESHOLD = 0.05
"""The paper's t: the zero zone as a share of the largest |w|, in every layer."""
SPARSITIES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)

FLOAT = "float control"
TTQ = "TTQ"
LIBRARY_START = "TTQ, scales begin at the closed form"
TIED = "one trained scale"
CLOSED_FORM = "computed scale, TTQ's threshold"
TWN = "TWN"
BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Variant:
    """A way of training.

    Attributes:
        make: makes what trains a layer's weight, None where all weights stay float.
        sparsity: share of zeros in every layer; the threshold decides where it is None.
    """

    make: WeightMaker | None
    sparsity: float | None = None


SCALES: Mapping[str, Variant] = {
    FLOAT: Variant(None),
    TTQ: Variant(two_scales),
    LIBRARY_START: Variant(trainable_weight),
    TIED: Variant(one_scale),
    CLOSED_FORM: Variant(closed_form),
    TWN: Variant(ternary_weight_network),
    BINARY: Variant(binary),
}
"""What T3 compares, and the control."""
DEPTH_NAMES = (FLOAT, TTQ)
"""What is trained at every depth."""


def sparse(share: float) -> str:
    """Return the name of TTQ with a constant share of zeros."""
    return f"{TTQ}, {100 * share:.0f} % zeros"


VARIANTS: Mapping[str, Variant] = {
    **SCALES,
    **{sparse(share): Variant(two_scales, share) for share in SPARSITIES},
}


def at_rate(name: str, rate: float) -> str:
    """Return the name of a way of training at a learning rate."""
    return f"{name}, rate {rate:g}"
