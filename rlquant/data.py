"""Data as users give it, and the fixed samples that an evaluation works on."""

from __future__ import annotations

import hashlib
import logging
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import RandomSampler

from rlquant.errors import DataError
from rlquant.layers import as_arguments

logger = logging.getLogger(__name__)

Inputs = Tensor | Sequence[Tensor]
Data = tuple[Inputs, Tensor] | Iterable[tuple[Inputs, Tensor]]
"""A pair (inputs, targets) of tensors, or anything that iterates such batches again and again."""


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Samples taken once and kept on the device.

    Attributes:
        inputs: the network's arguments, each with the samples along axis 0.
        targets: targets along axis 0.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def first(self, count: int) -> Samples:
        """Return the first `count` samples (views)."""
        return Samples(tuple(t[:count] for t in self.inputs), self.targets[:count])

    def batches(self, size: int) -> list[Samples]:
        """Cut into consecutive batches of at most `size` samples (views)."""
        inputs = zip(*(torch.split(t, size) for t in self.inputs), strict=True)
        targets = torch.split(self.targets, size)
        return [Samples(tuple(i), t) for i, t in zip(inputs, targets, strict=True)]

    def fingerprint(self) -> str:
        """Return a hash of shapes, types and contents (hex)."""
        return fingerprint_tensors([*self.inputs, self.targets])

    def rows(self) -> list[bytes]:
        """Return a hash of each sample, inputs and target together."""
        columns = [_bytes(t).reshape(len(self), -1) for t in (*self.inputs, self.targets)]
        return [
            hashlib.blake2b(b"".join(c[i].tobytes() for c in columns), digest_size=16).digest()
            for i in range(len(self))
        ]


def fingerprint_tensors(tensors: Iterable[Tensor]) -> str:
    """Return a hash of shapes, types and contents, the same in every process (hex)."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor).tobytes())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """Return the bytes of the elements in order, whatever their layout in memory."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    found: npt.NDArray[np.uint8] = plain.view(torch.uint8).numpy()
    return found


def take_samples(
    data: Data,
    count: int,
    *,
    name: str,
    device: torch.device,
    exactly: bool = False,
    any_order: bool = False,
) -> Samples:
    """Take the first `count` samples of `data`, in order.

    Args:
        data: see `Data`.
        count: how many to take; where there are fewer, all are taken unless `exactly`.
        name: what the data are called in errors ("validation_data").
        device: where the samples are kept.
        exactly: fewer than `count` samples are an error.
        any_order: whether it does not matter that a shuffled loader gives others each time.

    Raises:
        DataError: no sample, an iterator that can be read only once, batches that are no
            (inputs, targets) pair or do not fit each other, too few samples, inputs that are NaN.
    """
    count = _whole(count, name)
    sampler = getattr(data, "sampler", None)
    # One without a generator of its own draws from the global one, which callers seed (ambient.py).
    if not any_order and isinstance(sampler, RandomSampler) and sampler.generator is not None:
        logger.warning(
            "%s is shuffled: every run takes other samples from it, so that no search can be "
            "resumed and no evaluation found again; give a loader with shuffle=False",
            name,
        )
    parts: list[Samples] = []
    taken = 0
    for batch in iterate(data, name):
        part = _as_samples(batch, name).first(count - taken)
        parts.append(part)
        taken += len(part)
        if taken >= count:
            break
    if taken == 0:
        raise DataError(f"{name} is empty: it gave no sample")
    if exactly and taken < count:
        raise DataError(
            f"{name} has {taken} samples, {count} were asked for; give more data or ask for fewer"
        )
    try:
        inputs = tuple(
            torch.cat(column).to(device) for column in zip(*(p.inputs for p in parts), strict=True)
        )
        samples = Samples(inputs, torch.cat([p.targets for p in parts]).to(device))
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{name}: its batches do not fit each other: {error}") from error
    _require_numbers(samples, name)
    return samples


def _whole(count: Any, name: str) -> int:
    try:
        number = operator.index(count)
    except TypeError:
        number = 0
    if number < 1:
        raise DataError(f"{name}: {count!r} samples were asked for, ask for at least one")
    return number


def _require_numbers(samples: Samples, name: str) -> None:
    """Raise `DataError` for NaN; infinite inputs may be meant, as in a mask."""
    if any(torch.isnan(tensor).any() for tensor in samples.inputs):
        raise DataError(f"{name}: some of its inputs are NaN; mend those samples or leave them out")


def iterate(data: Data, name: str) -> Iterator[Any]:
    """Iterate over the batches of `data`; a pair of tensors is one batch.

    Raises:
        DataError: `data` is no pair and cannot be iterated, or only once.
    """
    if is_pair(data):
        return iter([data])
    if isinstance(data, Iterator):
        raise DataError(
            f"{name} is an iterator ({type(data).__name__}) that can be read only once; give the "
            f"loader itself, a list of batches, or a pair of tensors"
        )
    if not isinstance(data, Iterable):
        raise DataError(
            f"{name} is a {type(data).__name__}; give a pair (inputs, targets) of tensors or "
            f"something that iterates such batches"
        )
    return iter(data)


def is_pair(data: object) -> bool:
    """Return whether `data` is one (inputs, targets) pair rather than a collection of them."""
    return (
        isinstance(data, (tuple, list))
        and len(data) == 2
        and isinstance(data[1], Tensor)
        and (
            isinstance(data[0], Tensor)
            or (isinstance(data[0], (tuple, list)) and all(isinstance(t, Tensor) for t in data[0]))
        )
    )


def _as_samples(batch: Any, name: str) -> Samples:
    if not is_pair(batch):
        raise DataError(
            f"{name}: a batch is a {type(batch).__name__}, it must be a pair (inputs, targets) of "
            f"tensors; several inputs go into a tuple"
        )
    inputs, targets = as_arguments(batch[0]), batch[1]
    sizes = {len(t) if t.dim() else 0 for t in (*inputs, targets)}
    if len(sizes) != 1 or not inputs:
        raise DataError(f"{name}: inputs and targets of a batch differ in length: {sorted(sizes)}")
    return Samples(inputs, targets)


def take_batch(batch: Any, name: str, device: torch.device) -> Samples:
    """Return an (inputs, targets) batch on the device.

    Raises:
        DataError: the batch is no such pair, has no sample, or inputs that are NaN.
    """
    samples = _as_samples(batch, name)
    if not len(samples):
        raise DataError(f"{name} is empty: it gave no sample")
    _require_numbers(samples, name)
    return Samples(tuple(t.to(device) for t in samples.inputs), samples.targets.to(device))


def require_different(training: Samples, validation: Samples) -> None:
    """Raise `DataError` where the two share more than half of the smaller one's samples.

    Order does not matter. Fewer shared samples are logged: some data have natural duplicates.
    """
    smaller, larger = sorted((training.rows(), validation.rows()), key=len)
    known = set(larger)
    shared = sum(row in known for row in smaller)
    if 2 * shared > len(smaller):
        raise DataError(
            f"{shared} of {len(smaller)} samples are in train_data and in validation_data: a "
            f"search would be judged on what it was calibrated on; give separate data"
        )
    if shared:
        logger.warning("%d samples of validation_data are in train_data too", shared)
