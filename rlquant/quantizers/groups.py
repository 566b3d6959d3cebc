"""Groups: the weights that share one scale and one offset.

A group is an output channel, the whole tensor, or so many consecutive weights of one row. A row
holds the weights of one output channel in C order, so no group reaches from one channel into the
next; the last group of a row may be shorter. A tensor of one dimension is one row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.config import LARGEST_GROUP, GroupSize, is_group_size
from rlquant.errors import QuantizationError


def require_group_size(group_size: object) -> None:
    """Raise `QuantizationError` unless it is "channel", "tensor" or a number of weights."""
    if not is_group_size(group_size):
        raise QuantizationError(
            f"group_size={group_size!r}, use a whole number of consecutive weights in "
            f'1..{LARGEST_GROUP}, "channel" (one group per output channel) or "tensor"'
        )


def group_count(shape: torch.Size, group_size: GroupSize, channel_axis: int = 0) -> int:
    """Return how many groups a tensor of `shape` has."""
    if group_size == "tensor":
        return 1
    count, length = _rows(shape, group_size, channel_axis)
    return count if group_size == "channel" else count * -(-length // group_size)


def to_rows(weights: Tensor, group_size: GroupSize, channel_axis: int = 0) -> Tensor:
    """Return the groups as rows, shape `(groups, size)`, channel after channel.

    A shorter last group is filled up by repeating its last weight, which leaves its extremes
    alone; `from_rows` drops it.

    Raises:
        QuantizationError: the tensor has no such axis; those from the end have no number here.
    """
    if group_size == "tensor":
        return weights.reshape(1, -1)
    if weights.dim() and not 0 <= channel_axis < weights.dim():
        raise QuantizationError(
            f"channel_axis={channel_axis!r}, use 0..{weights.dim() - 1} for a tensor of shape "
            f"{tuple(weights.shape)}"
        )
    moved = weights.movedim(channel_axis, 0) if weights.dim() else weights
    rows = moved.reshape(_rows(weights.shape, group_size, channel_axis))
    if group_size == "channel":
        return rows
    size = min(group_size, rows.shape[1])
    missing = -rows.shape[1] % size
    if missing:
        rows = torch.cat([rows, rows[:, -1:].expand(-1, missing)], dim=1)
    return rows.reshape(-1, size)


def short_groups(
    shape: torch.Size, group_size: GroupSize, channel_axis: int = 0
) -> tuple[slice, int]:
    """Return which rows of `to_rows` are filled up, and how many weights of their own they have.

    None are where groups divide rows evenly: the slice is empty then.
    """
    if isinstance(group_size, str):
        return slice(0), 0
    _, length = _rows(shape, group_size, channel_axis)
    size = min(group_size, length)
    per_row = -(-length // size)
    return (slice(per_row - 1, None, per_row) if length % size else slice(0)), length % size


def importance_rows(
    weights: Tensor, importance: Tensor | None, group_size: GroupSize, channel_axis: int = 0
) -> Tensor | None:
    """Return what each weight's error counts, in the rows of its groups; 0 for padding.

    Args:
        weights: float.
        importance: in a shape that broadcasts to that of the weights; None where all count alike.
        group_size: of the weights.
        channel_axis: the output-channel axis.

    Raises:
        QuantizationError: another shape, or values that are negative or not finite.
    """
    if importance is None:
        return None
    try:
        spread_out = importance.detach().float().expand(weights.shape)
    except RuntimeError:
        raise QuantizationError(
            f"importance of shape {tuple(importance.shape)} does not broadcast to that of the "
            f"weights, {tuple(weights.shape)}"
        ) from None
    if not (torch.isfinite(importance) & (importance >= 0)).all():
        raise QuantizationError("importance has values that are negative or not finite")
    rows = to_rows(spread_out, group_size, channel_axis)
    short, own = short_groups(weights.shape, group_size, channel_axis)
    if own:
        rows = rows.clone()
        rows[short, own:] = 0.0
    return rows


def from_rows(
    rows: Tensor, shape: torch.Size, group_size: GroupSize, channel_axis: int = 0
) -> Tensor:
    """Undo `to_rows`: a contiguous tensor of `shape`."""
    if group_size == "tensor":
        return rows.reshape(shape).contiguous()
    count, length = _rows(shape, group_size, channel_axis)
    return _moved_back(rows.reshape(count, -1)[:, :length], shape, channel_axis).contiguous()


def spread(
    per_group: Tensor, shape: torch.Size, group_size: GroupSize, channel_axis: int = 0
) -> Tensor:
    """Return `per_group`, shape `(groups,)`, in a shape that broadcasts against `shape`."""
    if group_size == "tensor" or not shape:
        return per_group.reshape([1] * len(shape))
    if group_size == "channel":
        return per_group.reshape([-1 if i == channel_axis else 1 for i in range(len(shape))])
    count, length = _rows(shape, group_size, channel_axis)
    rows = per_group.reshape(count, -1).repeat_interleave(min(group_size, length), dim=1)
    return _moved_back(rows[:, :length], shape, channel_axis)


def _rows(shape: torch.Size, group_size: GroupSize, channel_axis: int) -> tuple[int, int]:
    """Return the number of rows that groups lie in, and the weights of one."""
    if not shape or (len(shape) == 1 and group_size != "channel"):
        return 1, shape.numel()
    return shape[channel_axis], shape.numel() // max(shape[channel_axis], 1)


def _moved_back(rows: Tensor, shape: torch.Size, channel_axis: int) -> Tensor:
    """Return rows of channels in the order of the tensor's own axes."""
    if not shape:
        return rows.reshape(shape)
    moved = (shape[channel_axis], *shape[:channel_axis], *shape[channel_axis + 1 :])
    return rows.reshape(moved).movedim(0, channel_axis)
