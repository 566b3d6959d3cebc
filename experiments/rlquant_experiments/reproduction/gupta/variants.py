"""The arithmetics that are compared, and their names in runs and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rlquant.config import Rounding
from rlquant.training.settings import FixedPoint

WORD = 16
WIDE_WORD = 20
OUTPUT_INTEGER_BITS = 6
"""IL of outputs and errors beside weights of fewer integer bits, as in the paper's CNNs."""
MLP_FRACTIONS = (8, 10, 14)
CNN_FRACTIONS = (8, 10, 12, 14)
CNN_NEAREST_FRACTIONS = (10, 12, 14)
WIDENED_FRACTION = 8
WIDE_SHARES = (0.15, 0.5)
"""Shares of the steps that have the wide word: the paper's, and more, to see what time does."""
PRODUCT_FRACTIONS = (3, 4, 8)

ROUNDINGS: Mapping[str, Rounding] = {"SR": "stochastic", "nearest": "nearest"}
"""Words of reports for the roundings."""
FLOAT = "float"
ONCE = "each sum once"


def named(rounding: str, fraction_bits: int) -> str:
    """Return the name of an arithmetic: "SR <2,14>"."""
    return f"{rounding} <{WORD - fraction_bits},{fraction_bits}>"


def at_rate(variant: str, rate: float) -> str:
    """Return the name of an arithmetic at a learning rate."""
    return f"{variant}, rate {rate:g}"


def widened(share: float) -> str:
    """Return the name of stochastic rounding whose last steps have the wide word."""
    integer_bits = WORD - WIDENED_FRACTION
    wide = f"<{integer_bits},{WIDE_WORD - integer_bits}>"
    return f"{named('SR', WIDENED_FRACTION)}, last {percent(share)} {wide}"


def percent(share: float) -> str:
    """Return a share in words."""
    return f"{100 * share:.0f} %"


def narrow_outputs(fraction_bits: int) -> str:
    """Return the name of stochastic rounding with outputs in the format of the weights."""
    return f"{named('SR', fraction_bits)}, outputs too"


def each_product(rounding: str, fraction_bits: int) -> str:
    """Return the name of rounding each product."""
    return f"each product {named(rounding, fraction_bits)}"


def fixed_point(rounding: str, fraction_bits: int) -> FixedPoint:
    """Return the arithmetic of a name."""
    integer_bits = WORD - fraction_bits
    return FixedPoint(
        integer_bits,
        fraction_bits,
        ROUNDINGS[rounding],
        output_integer_bits=max(OUTPUT_INTEGER_BITS, integer_bits),
    )


def wide_end(share: float) -> FixedPoint:
    """Return stochastic rounding whose last steps have the wide word."""
    narrow = fixed_point("SR", WIDENED_FRACTION)
    return replace(narrow, wide_fraction_bits=WIDE_WORD - narrow.integer_bits, wide_share=share)


def mlp_variants() -> Mapping[str, FixedPoint | None]:
    """Return the arithmetics of the fully connected network by name."""
    return {
        FLOAT: None,
        **{named(r, f): fixed_point(r, f) for r in ROUNDINGS for f in MLP_FRACTIONS},
    }


def cnn_variants() -> Mapping[str, FixedPoint | None]:
    """Return the arithmetics of the convolutional networks by name."""
    return {
        FLOAT: None,
        **{named("SR", f): fixed_point("SR", f) for f in CNN_FRACTIONS},
        **{named("nearest", f): fixed_point("nearest", f) for f in CNN_NEAREST_FRACTIONS},
        **{widened(share): wide_end(share) for share in WIDE_SHARES},
    }
