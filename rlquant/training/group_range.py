"""Latent weights whose extremes decide the grid of their group, and narrower ranges of them."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.quantizers.formats import WeightForm
from rlquant.quantizers.groups import from_rows, to_rows


def range_holders(latent: Tensor, form: WeightForm) -> Tensor | None:
    """Return where each group has its least and its greatest weight, one place each.

    Args:
        latent: the weights.
        form: how the weight is stored.

    Returns:
        Bool, shape of the weight; None where scales are fixed.
    """
    if form.format.fixed_scale:
        return None
    rows = to_rows(latent, form.group_size, form.channel_axis)
    holders = torch.zeros(rows.shape, dtype=torch.bool, device=latent.device)
    holders.scatter_(1, torch.stack([rows.argmin(dim=1), rows.argmax(dim=1)], dim=1), True)
    return from_rows(holders, latent.shape, form.group_size, form.channel_axis)


def narrowed(latent: Tensor, form: WeightForm, share: float) -> Tensor:
    """Return the weights clamped to a share of their group's range, so that points lie closer.

    Args:
        latent: the weights.
        form: how the weight is stored.
        share: of both ends of the range, 0..1; symmetric points have the same distance on both
            sides.

    Returns:
        The same weights where scales are fixed.
    """
    if form.format.fixed_scale:
        return latent
    rows = to_rows(latent, form.group_size, form.channel_axis)
    low, high = rows.aminmax(dim=1, keepdim=True)
    if form.format.mirrored:
        high = torch.maximum(high, -low)
        low = -high
    clamped = torch.clamp(rows, share * low, share * high)
    return from_rows(clamped, latent.shape, form.group_size, form.channel_axis)
