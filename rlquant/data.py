"""Data as users give it, and the fixed samples that an evaluation works on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlquant.errors import DataError
from rlquant.layers import as_arguments

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


def fingerprint_tensors(tensors: Iterable[Tensor]) -> str:
    """Return a hash of shapes, types and contents, the same in every process (hex)."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    return digest.hexdigest()


def take_samples(
    data: Data, count: int, *, name: str, device: torch.device, exactly: bool = False
) -> Samples:
    """Take the first `count` samples of `data`, in order.

    Args:
        data: see `Data`.
        count: how many to take; where there are fewer, all are taken unless `exactly`.
        name: what the data are called in errors ("validation_data").
        device: where the samples are kept.
        exactly: fewer than `count` samples are an error.

    Raises:
        DataError: no sample, an iterator that can be read only once, batches that are no
            (inputs, targets) pair or do not fit each other, too few samples.
    """
    if not isinstance(count, int) or count < 1:
        raise DataError(f"{name}: {count!r} samples were asked for, ask for at least one")
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
        return Samples(inputs, torch.cat([p.targets for p in parts]).to(device))
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{name}: its batches do not fit each other: {error}") from error


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


def require_different(training: Samples, validation: Samples) -> None:
    """Raise `DataError` where validation begins with the very samples that training begins with."""
    count = min(len(training), len(validation))
    a, b = training.first(count), validation.first(count)
    if len(a.inputs) == len(b.inputs) and a.fingerprint() == b.fingerprint():
        raise DataError(
            "validation_data equals train_data: a search would be judged on what it was "
            "calibrated on; give separate data"
        )
