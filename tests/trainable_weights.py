"""Every way in which a layer's weight is trained, made for a small convolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rlquant.config import GroupSize, LayerChoice
from rlquant.quantizers import formats
from rlquant.quantizers.weight_format import WeightForm
from rlquant.training.mixed_network import trainable_weight
from rlquant.training.settings import TrainSettings
from rlquant.training.trainable_weight import TrainableWeight
from strategies import seeded

PLACED = ("symmetric", "clipped", "fixed_point", "affine", "linear", "quantile", "kmeans")
BUCKET_SIZES: tuple[GroupSize, ...] = ("channel", 16, "tensor")


@dataclass(frozen=True)
class Way:
    """A method with its rounding and points, and what the settings add."""

    fields: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_stochastic(self) -> bool:
        return self.fields.get("rounding") == "stochastic"

    @property
    def trains_latent(self) -> bool:
        return self.fields["method"] != "post_training"

    @property
    def numbers(self) -> set[str]:
        """What is learned beside the latent weights."""
        if self.fields["method"] == "ternary":
            return {"scales"}
        return {"points"} if self.fields["points"] == "learned" else set()


WAYS: Mapping[str, Way] = {
    "ternary-threshold": Way({"method": "ternary"}),
    "ternary-sparsity": Way({"method": "ternary"}, {"ternary_sparsity": 0.3}),
    **{
        f"{method}-{points}-{rounding}": Way(
            {"method": method, "points": points, "rounding": rounding}
        )
        for rounding in ("nearest", "stochastic")
        for method, points in (
            *(("distilled", points) for points in PLACED),
            ("distilled", "learned"),
            ("post_training", "learned"),
        )
    },
}


def weight(seed: int = 0) -> Tensor:
    """Float weights of a convolution, about 0.1 each."""
    return 0.1 * torch.randn(5, 3, 3, 3, generator=seeded(seed))


def moved(w: Tensor, seed: int = 1) -> Tensor:
    """Latent weights as training leaves them: somewhere else, a little larger."""
    return 1.2 * w + 0.03 * torch.randn(w.shape, generator=seeded(seed))


def form_of(
    way: str, group_size: GroupSize = "channel", w: Tensor | None = None, bits: int = 3
) -> WeightForm:
    """The form of a weight that is trained in the way of that name."""
    choice = LayerChoice("conv", bits, group_size=group_size, **WAYS[way].fields)
    return formats.form_of(weight() if w is None else w, choice.canonical("trained"), seed=3)


def made(
    way: str, group_size: GroupSize = "channel", w: Tensor | None = None, bits: int = 3
) -> TrainableWeight:
    """What trains a weight in the way of that name, at its start."""
    settings = TrainSettings(**WAYS[way].settings)
    start = weight() if w is None else w
    found = trainable_weight(form_of(way, group_size, start, bits), start, settings)
    assert found is not None
    return found


def shift(trainable: TrainableWeight) -> None:
    """Move the learned numbers, as training does; points stay ascending."""
    with torch.no_grad():
        for learned in trainable.learned():
            learned.parameter.mul_(1.15).sub_(0.01 * learned.unit)
