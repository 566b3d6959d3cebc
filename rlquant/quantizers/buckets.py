"""Buckets: the groups of weights that share one scale and one offset."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.config import BucketSize
from rlquant.errors import QuantizationError


def require_bucket_size(bucket_size: object) -> None:
    """Raise `QuantizationError` unless it is a positive whole number, "channel" or None."""
    whole = isinstance(bucket_size, int) and not isinstance(bucket_size, bool) and bucket_size > 0
    named = bucket_size is None or (isinstance(bucket_size, str) and bucket_size == "channel")
    if not whole and not named:
        raise QuantizationError(
            f"bucket_size={bucket_size!r}, use a positive whole number of consecutive weights, "
            f'"channel" (one bucket per output channel) or None (the whole tensor)'
        )


def bucket_count(shape: torch.Size, bucket_size: BucketSize, channel_axis: int = 0) -> int:
    """Return how many buckets a tensor of `shape` has; the last one may be shorter."""
    if bucket_size is None:
        return 1
    if bucket_size == "channel":
        return shape[channel_axis] if shape else 1
    return -(-shape.numel() // bucket_size)


def to_rows(weights: Tensor, bucket_size: BucketSize, channel_axis: int = 0) -> Tensor:
    """Return the buckets as rows, shape `(buckets, size)`.

    Consecutive buckets follow the C order of the tensor's elements. A shorter last bucket is
    filled up by repeating its last weight, which leaves its extremes alone; `from_rows` drops it.

    Raises:
        QuantizationError: the tensor has no such axis; those from the end have no number here.
    """
    if bucket_size is None:
        return weights.reshape(1, -1)
    if bucket_size == "channel":
        if weights.dim() and not 0 <= channel_axis < weights.dim():
            raise QuantizationError(
                f"channel_axis={channel_axis!r}, use 0..{weights.dim() - 1} for a tensor of shape "
                f"{tuple(weights.shape)}"
            )
        moved = weights.movedim(channel_axis, 0) if weights.dim() else weights
        return moved.reshape(bucket_count(weights.shape, bucket_size, channel_axis), -1)
    flat = weights.reshape(-1)
    size = _within(bucket_size, weights.shape)
    missing = -flat.numel() % size
    if missing:
        flat = torch.cat([flat, flat[-1:].expand(missing)])
    return flat.reshape(-1, size)


def from_rows(
    rows: Tensor, shape: torch.Size, bucket_size: BucketSize, channel_axis: int = 0
) -> Tensor:
    """Undo `to_rows`: a contiguous tensor of `shape`."""
    if bucket_size == "channel" and shape:
        moved = torch.Size([shape[channel_axis], *shape[:channel_axis], *shape[channel_axis + 1 :]])
        return rows.reshape(moved).movedim(0, channel_axis).contiguous()
    return rows.reshape(-1)[: shape.numel()].reshape(shape).contiguous()


def spread(
    per_bucket: Tensor, shape: torch.Size, bucket_size: BucketSize, channel_axis: int = 0
) -> Tensor:
    """Return `per_bucket`, shape `(buckets,)`, in a shape that broadcasts against `shape`."""
    if bucket_size is None or not shape:
        return per_bucket.reshape([1] * len(shape))
    if bucket_size == "channel":
        return per_bucket.reshape([-1 if i == channel_axis else 1 for i in range(len(shape))])
    size = _within(bucket_size, shape)
    return per_bucket.repeat_interleave(size)[: shape.numel()].reshape(shape)


def _within(bucket_size: int, shape: torch.Size) -> int:
    """Return the size of buckets in a tensor: a larger one holds the whole of it."""
    return min(bucket_size, max(shape.numel(), 1))
