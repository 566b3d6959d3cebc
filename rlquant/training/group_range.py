"""Trainable weights whose groups' extremes decide the grid, and narrower ranges of them."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.quantizers.groups import from_rows, to_rows
from rlquant.training.trainable_weight import TrainableWeight


class GroupedWeight(TrainableWeight):
    """Latent weights on a grid that spans the range of each group, unless its scales are fixed."""

    def holds_grid(self, latent: Tensor) -> Tensor | None:
        """Return where each group has its least and its greatest weight, one place each."""
        form = self.form
        if form.format.fixed_scale:
            return None
        rows = to_rows(latent.detach(), form.group_size, form.channel_axis)
        holders = torch.zeros(rows.shape, dtype=torch.bool, device=latent.device)
        holders.scatter_(1, torch.stack([rows.argmin(dim=1), rows.argmax(dim=1)], dim=1), True)
        return from_rows(holders, latent.shape, form.group_size, form.channel_axis)

    def narrowed(self, latent: Tensor, share: float) -> Tensor:
        """Return the weights clamped to a share of their group's range, so that points lie closer.

        Args:
            latent: the weights.
            share: of both ends of the range, 0..1; symmetric points have the same distance on
                both sides.

        Returns:
            The same weights where scales are fixed.
        """
        form = self.form
        if form.format.fixed_scale:
            return latent
        rows = to_rows(latent, form.group_size, form.channel_axis)
        low, high = rows.aminmax(dim=1, keepdim=True)
        if form.format.mirrored:
            high = torch.maximum(high, -low)
            low = -high
        clamped = torch.clamp(rows, share * low, share * high)
        return from_rows(clamped, latent.shape, form.group_size, form.channel_axis)
