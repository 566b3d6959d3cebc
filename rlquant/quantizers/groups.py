"""Groups: the groups of weights that share one scale and one offset."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.config import GroupSize
from rlquant.errors import QuantizationError


def require_group_size(group_size: object) -> None:
    """Raise `QuantizationError` unless it is a positive whole number, "channel" or None."""
    whole = isinstance(group_size, int) and not isinstance(group_size, bool) and group_size > 0
    named = group_size is None or (isinstance(group_size, str) and group_size == "channel")
    if not whole and not named:
        raise QuantizationError(
            f"group_size={group_size!r}, use a positive whole number of consecutive weights, "
            f'"channel" (one group per output channel) or None (the whole tensor)'
        )


def group_count(shape: torch.Size, group_size: GroupSize, channel_axis: int = 0) -> int:
    """Return how many groups a tensor of `shape` has; the last one may be shorter."""
    if group_size is None:
        return 1
    if group_size == "channel":
        return shape[channel_axis] if shape else 1
    return -(-shape.numel() // group_size)


def to_rows(weights: Tensor, group_size: GroupSize, channel_axis: int = 0) -> Tensor:
    """Return the groups as rows, shape `(groups, size)`.

    Consecutive groups follow the C order of the tensor's elements. A shorter last group is
    filled up by repeating its last weight, which leaves its extremes alone; `from_rows` drops it.

    Raises:
        QuantizationError: the tensor has no such axis; those from the end have no number here.
    """
    if group_size is None:
        return weights.reshape(1, -1)
    if group_size == "channel":
        if weights.dim() and not 0 <= channel_axis < weights.dim():
            raise QuantizationError(
                f"channel_axis={channel_axis!r}, use 0..{weights.dim() - 1} for a tensor of shape "
                f"{tuple(weights.shape)}"
            )
        moved = weights.movedim(channel_axis, 0) if weights.dim() else weights
        return moved.reshape(group_count(weights.shape, group_size, channel_axis), -1)
    flat = weights.reshape(-1)
    size = _within(group_size, weights.shape)
    missing = -flat.numel() % size
    if missing:
        flat = torch.cat([flat, flat[-1:].expand(missing)])
    return flat.reshape(-1, size)


def from_rows(
    rows: Tensor, shape: torch.Size, group_size: GroupSize, channel_axis: int = 0
) -> Tensor:
    """Undo `to_rows`: a contiguous tensor of `shape`."""
    if group_size == "channel" and shape:
        moved = torch.Size([shape[channel_axis], *shape[:channel_axis], *shape[channel_axis + 1 :]])
        return rows.reshape(moved).movedim(0, channel_axis).contiguous()
    return rows.reshape(-1)[: shape.numel()].reshape(shape).contiguous()


def spread(
    per_group: Tensor, shape: torch.Size, group_size: GroupSize, channel_axis: int = 0
) -> Tensor:
    """Return `per_group`, shape `(groups,)`, in a shape that broadcasts against `shape`."""
    if group_size is None or not shape:
        return per_group.reshape([1] * len(shape))
    if group_size == "channel":
        return per_group.reshape([-1 if i == channel_axis else 1 for i in range(len(shape))])
    size = _within(group_size, shape)
    return per_group.repeat_interleave(size)[: shape.numel()].reshape(shape)


def _within(group_size: int, shape: torch.Size) -> int:
    """Return the size of groups in a tensor: a larger one holds the whole of it."""
    return min(group_size, max(shape.numel(), 1))
