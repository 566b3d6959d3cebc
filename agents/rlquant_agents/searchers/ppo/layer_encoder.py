"""A features extractor that sees all layers at once: attention over what is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.spaces import Space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from rlquant_envs.observation import FEATURES

POSITION = list(FEATURES).index("position")


class LayerEncoder(BaseFeaturesExtractor):
    """The observation, the layer to decide as it is among the others, and what is still to decide.

    An observation says which layer is to be decided; all layers are encoded together by attention
    (Vaswani et al. 2017), whatever their number.

    Args:
        observation_space: of `LayerwiseQuantization`.
        layers: what is known of every layer, shape `(layers, features)`, of the order of 1.
        width: of a layer's code.
        blocks: of attention.
        heads: of each block.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        layers: npt.NDArray[np.float64],
        width: int = 32,
        blocks: int = 2,
        heads: int = 4,
    ) -> None:
        assert observation_space.shape is not None
        super().__init__(observation_space, observation_space.shape[0] + 2 * width)
        self.layers: Tensor
        self.register_buffer("layers", torch.as_tensor(layers, dtype=torch.float32))
        self.embedding = nn.Linear(layers.shape[1], width)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
                )
                for _ in range(blocks)
            )
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Return features, shape `(n, features_dim)`, of observations, shape `(n, observed)`."""
        codes = self.blocks(self.embedding(self.layers)[None])[0]
        last = len(codes) - 1
        at = (observations[:, POSITION] * last).round().long().clamp(0, last)
        counts = torch.arange(len(codes), 0, -1, device=codes.device)[:, None]
        to_come = codes.flip(0).cumsum(dim=0).flip(0) / counts
        return torch.cat([observations, codes[at], to_come[at]], dim=1)
