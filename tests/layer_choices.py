"""One choice of each kind, for a layer that is named later."""

from __future__ import annotations

from rlquant.config import LayerChoice

CHOICES = (
    LayerChoice("", 1),
    LayerChoice("", 3),
    LayerChoice("", 12),
    LayerChoice("", 2, points="clipped"),
    LayerChoice("", 4, "stochastic", points="clipped"),
    LayerChoice("", 4, points="fixed_point"),
    LayerChoice("", 3, "stochastic", points="affine"),
    LayerChoice("", 3, "stochastic", points="linear"),
    LayerChoice("", 2, points="quantile"),
    LayerChoice("", 3, points="kmeans"),
    LayerChoice("", 3, points="learned"),
    LayerChoice("", 2, method="ternary"),
    LayerChoice("", 32, method="float"),
)
