"""Input data in all accepted forms, and the fixed samples of an evaluation."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from rlquant.errors import DataError, whole_number
from rlquant.forward_pass import copies
from rlquant.layers import as_arguments

logger = logging.getLogger(__name__)

Inputs = Tensor | Sequence[Tensor]
Data = tuple[Inputs, Tensor] | Iterable[tuple[Inputs, Tensor]]
"""A pair (inputs, targets) of tensors, or anything that iterates such batches again and again."""


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Samples taken once and kept on the device, which nobody else ever holds.

    Networks and objectives may write in place to what they are given, and are run on the same
    samples again and again: `inputs` and `targets` are new copies each time they are asked for.
    Against a forward pass that costs next to nothing.
    """

    _inputs: tuple[Tensor, ...]
    _targets: Tensor

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The network's arguments, each with the samples along axis 0; a copy."""
        return copies(self._inputs)

    @property
    def targets(self) -> Tensor:
        """Targets along axis 0; a copy."""
        return self._targets.detach().clone()

    @property
    def device(self) -> torch.device:
        """Where they are kept."""
        return self._targets.device

    def __len__(self) -> int:
        return len(self._targets)

    def first(self, count: int) -> Samples:
        """Return the first `count` samples (views)."""
        return Samples(tuple(t[:count] for t in self._inputs), self._targets[:count])

    def select(self, index: Tensor) -> Samples:
        """Return the samples of these numbers, in this order."""
        place = index.to(self.device)
        return Samples(tuple(t[place] for t in self._inputs), self._targets[place])

    def batches(self, size: int) -> list[Samples]:
        """Cut into consecutive batches of `size` samples (views); the last one may be smaller.

        A last batch of one joins the one before, as `squeeze()` and statistics over a batch do
        something else on one sample than on several.
        """
        ends = [*range(size, len(self), size), len(self)]
        if size > 1 and len(ends) > 1 and ends[-1] - ends[-2] == 1:
            del ends[-2]
        return [self._between(*cut) for cut in zip([0, *ends], ends, strict=False)]

    def _between(self, start: int, end: int) -> Samples:
        return Samples(tuple(t[start:end] for t in self._inputs), self._targets[start:end])

    def infinite(self) -> list[int]:
        """Return the numbers of the samples with an infinite input, counted from 0."""
        found = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        for tensor in self._inputs:
            others = math.prod(tensor.shape[1:])  # may be 0
            found |= torch.isinf(tensor).reshape(len(self), others).any(dim=1)
        return found.nonzero().flatten().tolist()

    def require_no_nan(self, name: str) -> None:
        """Raise `DataError` for inputs that are NaN; infinite ones may be meant, as in a mask."""
        if any(torch.isnan(tensor).any() for tensor in self._inputs):
            raise DataError(
                f"{name}: some of its inputs are NaN; mend those samples or leave them out"
            )

    def fingerprint(self) -> str:
        """Return a hash of shapes, types and contents (hex)."""
        return fingerprint_tensors([*self._inputs, self._targets])

    def rows(self) -> list[bytes]:
        """Return a hash of each sample, inputs and target together."""
        columns = [_bytes(t).reshape(len(self), -1) for t in (*self._inputs, self._targets)]
        return [
            hashlib.blake2b(b"".join(c[i].tobytes() for c in columns), digest_size=16).digest()
            for i in range(len(self))
        ]

    def to(self, device: torch.device) -> Samples:
        """Return the samples on a device, copied where they are on another one."""
        return Samples(tuple(t.to(device) for t in self._inputs), self._targets.to(device))

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Return the samples of all parts in memory of their own.

        Raises:
            RuntimeError, ValueError: parts that do not fit each other.
        """
        columns = zip(*(part._inputs for part in parts), strict=True)
        inputs = tuple(torch.cat(column) for column in columns)
        return cls(inputs, torch.cat([part._targets for part in parts]))


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
    setting: str | None = None,
    level: int = logging.WARNING,
    any_order: bool = False,
) -> Samples:
    """Take the first `count` samples of `data`, in order, or all where there are fewer.

    Args:
        data: see `Data`.
        count: at most so many are taken.
        name: what the data are called in errors ("validation_data").
        device: where the samples are kept.
        setting: what asked for so many ("validation_samples"); fewer are then said in the log.
        level: at which.
        any_order: whether it does not matter that a shuffled loader gives others each time.

    Raises:
        DataError: no sample, data that can be read only once, batches that are no (inputs,
            targets) pair or do not fit each other, inputs that are NaN.
        SettingsError: `count` is no whole number of at least 1.
    """
    count = whole_number(setting or f"samples of {name}", count, 1)
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
    try:
        samples = Samples.joined(parts).to(device)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{name}: its batches do not fit each other: {error}") from error
    samples.require_no_nan(name)
    if not repeats(data):
        _read_again(data, name, taken)
    if setting is not None and taken < count:
        logger.log(
            level, "%s has %d samples: all are used, %s=%d is the most", name, taken, setting, count
        )
    return samples


def repeats(data: object) -> TypeGuard[Sized]:
    """Return whether every pass over the data is known to give as many samples."""
    if isinstance(data, (tuple, list)):
        return True
    if type(data) is not DataLoader or isinstance(data.dataset, IterableDataset):
        return False
    batches, sampler = data.batch_sampler, data.sampler
    plain = batches is None or (type(batches) is BatchSampler and batches.sampler is sampler)
    return plain and type(sampler) in (SequentialSampler, RandomSampler)


def _read_again(data: Data, name: str, taken: int) -> None:
    """Raise `DataError` unless a second pass gives as many samples as the first one gave."""
    again = 0
    try:
        for batch in iterate(data, name):
            again += len(_as_samples(batch, name))
            if again >= taken:
                return
    except DataError:
        raise
    except Exception as error:  # of the user's code, which gave them the first time
        raise fewer_samples(data, name, again, taken) from error
    raise fewer_samples(data, name, again, taken)


def fewer_samples(data: object, name: str, again: int, taken: int) -> DataError:
    """Return the error for data of which a later pass gives fewer samples than an earlier one."""
    return DataError(
        f"{name}: one pass over this {type(data).__name__} gave {taken} samples, the next one "
        f"{again}; it can be read only once: give what iterates its batches again and again, such "
        f"as a list of batches, or a pair of tensors"
    )


def iterate(data: Data, name: str) -> Iterator[Any]:
    """Iterate over the batches of `data`; a pair of tensors is one batch.

    Raises:
        DataError: `data` is no pair and cannot be iterated, or only once.
    """
    require_iterable(data, name)
    return iter([data] if is_pair(data) else data)


def require_iterable(data: Data, name: str) -> None:
    """Raise `DataError` for data that are no pair and cannot be iterated, or only once."""
    if is_pair(data):
        return
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
    for tensor in (*as_arguments(batch[0]), batch[1]):
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
            kind = "meta" if tensor.is_meta else "nested" if tensor.is_nested else "sparse"
            raise DataError(f"{name}: it holds a {kind} tensor; give dense tensors that have data")
    inputs, targets = tuple(map(_trainable, as_arguments(batch[0]))), _trainable(batch[1])
    sizes = {len(t) if t.dim() else 0 for t in (*inputs, targets)}
    if len(sizes) != 1 or not inputs:
        raise DataError(f"{name}: inputs and targets of a batch differ in length: {sorted(sizes)}")
    return Samples(inputs, targets)


def _trainable(tensor: Tensor) -> Tensor:
    """Return a tensor that autograd takes: those made in inference mode are refused by it."""
    return tensor.clone() if tensor.is_inference() else tensor


def take_batch(batch: Any, name: str, device: torch.device) -> Samples:
    """Return an (inputs, targets) batch on the device.

    Raises:
        DataError: the batch is no such pair, has no sample, or inputs that are NaN.
    """
    samples = _as_samples(batch, name)
    if not len(samples):
        raise DataError(f"{name} is empty: it gave no sample")
    samples.require_no_nan(name)
    return samples.to(device)


def why_not_finite(samples: Samples) -> str:
    """Return what an error says where numbers are not finite that come of these samples."""
    found = samples.infinite()
    if not found:
        return "do the data have the scale that the network was trained on?"
    shown = f"{', '.join(map(str, found[:10]))}{', ...' if len(found) > 10 else ''}"
    return (
        f"{len(found)} of the {len(samples)} samples have infinite inputs (number {shown}, from "
        f"0); mend them or leave them out"
    )


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
            f"search would be evaluated on what it was calibrated on; give separate data"
        )
    if shared:
        logger.warning("%d samples of validation_data are in train_data too", shared)
