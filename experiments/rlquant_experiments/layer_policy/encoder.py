"""An encoder over all layers: corrections to the logs of expected increases, with deviations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

MOST = 3.0
"""The largest correction: a factor of 20."""
FIRST_DEVIATION = 0.3
"""Of the logs of corrected increases, before anything is learnt."""


class Corrections(NamedTuple):
    """Of the log of every option's increase: its mean and its standard deviation."""

    mean: Tensor
    deviation: Tensor


class LayerEncoder(nn.Module):
    """Options are embedded one by one, layers are their means and attend to each other.

    A new encoder corrects nothing: what it adds begins at zero (residual policy learning, Silver et
    al. 2018), so that the knapsack over corrected increases is that over the increases themselves.

    Args:
        features: of an option.
        width: of embeddings.
        blocks: of attention over the layers; with none every layer is seen alone.
        heads: of each block.
    """

    def __init__(self, features: int, width: int = 32, blocks: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.option = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(
                    width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
                )
                for _ in range(blocks)
            ]
        )
        self.mixed = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())
        self.head = nn.Linear(width, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor, own: Tensor) -> Corrections:
        """Return corrections, each shape `(n, layers, options)`.

        Args:
            features: shape `(n, layers, options, features)`.
            own: which options layers have, of the same shape but the last; layers without any are
                no layers.
        """
        options = self.option(features)
        counted = own[..., None].to(options.dtype)
        layers = (options * counted).sum(dim=2) / counted.sum(dim=2).clamp(min=1.0)
        missing = ~own.any(dim=2)
        for block in self.blocks:
            layers = block(layers, src_key_padding_mask=missing)
        both = torch.cat([options, layers[:, :, None].expand_as(options)], dim=-1)
        mean, deviation = self.head(self.mixed(both)).unbind(dim=-1)
        found = MOST * torch.tanh(mean / MOST)
        return Corrections(found, FIRST_DEVIATION * deviation.clamp(-3.0, 3.0).exp())
