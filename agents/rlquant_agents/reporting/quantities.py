"""Labels and units of the quantities that budgets limit."""

from __future__ import annotations

from rlquant.cost.budget import Quantity

QUANTITIES: dict[str, tuple[str, float]] = {
    "average_bits": ("stored bits per weight, scales included", 1.0),
    "size_bytes": ("size of the packed file (kB)", 1e-3),
    "size_ratio": ("packed file over float network (bytes per byte)", 1.0),
    "bops": ("bit-operations per sample (millions)", 1e-6),
    "latency": ("latency by table (ms)", 1e3),
}
"""What a budget limits: quantity -> (axis label, factor to the label's unit)."""

UNITS: dict[Quantity, tuple[str, str]] = {
    "average_bits": ("bits", "bits per weight"),
    "size_bytes": ("bytes", "bytes"),
    "size_ratio": ("bytes", "of the float network's bytes"),
    "bops": ("bit-operations", "bit-operations per sample"),
    "latency": ("ns", "seconds by the latency table"),
}
"""What a budget limits: quantity -> (whole unit of its costs, what limits are given in)."""
