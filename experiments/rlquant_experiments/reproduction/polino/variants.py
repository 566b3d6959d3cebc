"""The runs that are compared, by the names they have in reports."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

TEACHER, STUDENT, SMALL, DEEPER = "teacher", "student", "smallest student", "deeper student"
ABLATION, NOISE, DEPTH, RATES = "ablation", "noise", "depth", "rates"
"""Experiments."""

FLOAT = "float"
LABELS = "float, labels alone"
DISTILLED = "float, distilled"
POST_MORTEM_BITS = (2, 3, 4, 8)
DISTILLED_BITS = (2, 4, 8)
LABELS_BITS = (2, 4)
LEARNED_BITS = (2, 4)
SMALL_BITS = 2
DEEPER_BITS = 4
ABLATION_BITS = 2


def post_mortem(bits: int, *, buckets: bool) -> str:
    """Return the name of post-mortem quantization of the distilled student."""
    return f"PM {bits} bits, {'buckets' if buckets else 'no buckets'}"


def quantized_distillation(bits: int) -> str:
    """Return the name of quantized distillation from fresh weights."""
    return f"QD {bits} bits"


def quantized_labels(bits: int) -> str:
    """Return the name of the same without a teacher."""
    return f"QD {bits} bits, labels alone"


def learned_points(bits: int) -> str:
    """Return the name of differentiable quantization of the distilled student."""
    return f"DQ {bits} bits"


QUANTILE_START = f"PM {ABLATION_BITS} bits, quantiles"
"""Where DQ starts, without training."""
SPACED_LEARNED = f"{learned_points(ABLATION_BITS)}, equally spaced start"
"""DQ as long as elsewhere, from the other start."""


@dataclass(frozen=True, slots=True)
class Heuristics:
    """The three heuristics of differentiable quantization, on or off.

    Attributes:
        redistribution: of points between layers, by their gradients.
        distillation: the loss follows the student before it was quantized.
        quantiles: points start at quantiles of the weights, else equally spaced.
    """

    redistribution: bool
    distillation: bool
    quantiles: bool

    @property
    def name(self) -> str:
        """What is on, in words."""
        words = [field for field in HEURISTICS if getattr(self, field)]
        return " + ".join(words) or "none"


HEURISTICS = ("redistribution", "distillation", "quantiles")
CELLS = tuple(Heuristics(*on) for on in product((False, True), repeat=len(HEURISTICS)))
"""All combinations."""
