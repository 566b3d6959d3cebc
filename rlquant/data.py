"""Input data in all accepted forms, as samples."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, TypeGuard

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
from rlquant.forward_pass import as_arguments, mapped, tensors_in
from rlquant.network_inputs import Inputs
from rlquant.samples import Samples

logger = logging.getLogger(__name__)

Batch = tuple[Inputs, Tensor] | Mapping[str, Tensor]
"""A pair (inputs, targets), or a mapping of inputs alone, whose `labels`, if any, are targets."""
Data = Batch | Iterable[Batch]
"""One batch, or anything that iterates batches again and again."""
LABELS = "labels"


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


def samples_behind(
    data: Data, first: int, count: int, *, name: str, device: torch.device
) -> Samples | None:
    """Take samples of `data` behind those that `take_samples` takes, in order.

    Args:
        data: which `take_samples` has taken `first` samples of.
        first: how many are passed over.
        count: at most so many are taken.
        name: what the data are called in errors.
        device: where the samples are kept.

    Returns:
        None where there is none, where they do not fit each other, or where a second pass may give
        those of the first one again.
    """
    if isinstance(getattr(data, "sampler", None), RandomSampler):
        return None
    parts: list[Samples] = []
    passed = taken = 0
    for batch in iterate(data, name):
        whole = _as_samples(batch, name)
        part = whole.behind(first - passed).first(count - taken)
        passed += min(len(whole), first - passed)
        if len(part):
            parts.append(part)
            taken += len(part)
        if taken >= count:
            break
    try:
        return Samples.joined(parts).to(device) if parts else None
    except (RuntimeError, ValueError):  # of several lengths, which calibration had only one of
        return None


def repeats(data: object) -> TypeGuard[Sized]:
    """Return whether every pass over the data is known to give as many samples."""
    if isinstance(data, (tuple, list, Mapping)):
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
    """Iterate over the batches of `data`; one batch is taken as it is.

    Raises:
        DataError: `data` is no pair and cannot be iterated, or only once.
    """
    require_iterable(data, name)
    return iter([data] if is_batch(data) else data)


def require_iterable(data: Data, name: str) -> None:
    """Raise `DataError` for data that are no pair and cannot be iterated, or only once."""
    if is_batch(data):
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


def is_batch(data: object) -> bool:
    """Return whether `data` is one batch rather than a collection of them."""
    return is_pair(data) or isinstance(data, Mapping)


def is_pair(data: object) -> bool:
    """Return whether `data` is one (inputs, targets) pair."""
    return (
        isinstance(data, (tuple, list))
        and len(data) == 2
        and _are_tensors(data[1], Mapping)
        and _are_tensors(data[0], (tuple, list, Mapping))
    )


def _are_tensors(values: Any, kinds: Any) -> bool:
    """Return whether `values` is a tensor, or one of these collections of tensors."""
    if isinstance(values, Tensor) or not isinstance(values, kinds):
        return isinstance(values, Tensor)
    return all(isinstance(t, Tensor) for t in getattr(values, "values", lambda: values)())


def _split(batch: Any, name: str) -> tuple[Any, Any]:
    """Return inputs and targets of a batch; no targets are an empty mapping."""
    if isinstance(batch, Mapping):
        inputs = dict(batch)
        for key, value in inputs.items():
            if not isinstance(key, str) or not isinstance(value, Tensor):
                raise DataError(
                    f"{name}: entry {key!r} of a batch is a {type(value).__name__}; keep the "
                    f"network's inputs (and labels) alone in it, each a tensor"
                )
        return inputs, inputs.pop(LABELS, {})
    if not is_pair(batch):
        raise DataError(
            f"{name}: a batch is a {type(batch).__name__}, it must be a pair (inputs, targets) of "
            f"tensors; several inputs go into a tuple, inputs by name into a mapping"
        )
    return batch[0], batch[1]


def _as_samples(batch: Any, name: str) -> Samples:
    given, wanted = _split(batch, name)
    inputs = as_arguments(given)
    targets = wanted if isinstance(wanted, Tensor) else dict(wanted)
    tensors = [*tensors_in(inputs), *tensors_in(targets)]
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
            kind = "meta" if tensor.is_meta else "nested" if tensor.is_nested else "sparse"
            raise DataError(f"{name}: it holds a {kind} tensor; give dense tensors that have data")
    sizes = {len(t) if t.dim() else 0 for t in tensors}
    if len(sizes) != 1 or not inputs:
        raise DataError(f"{name}: inputs and targets of a batch differ in length: {sorted(sizes)}")
    return Samples(mapped(_trainable, inputs), mapped(_trainable, targets))


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
