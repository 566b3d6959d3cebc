"""The batches of a training run, and the teacher's answers to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rlquant.copying.network_copy import copy_network
from rlquant.data import (
    Data,
    fewer_samples,
    is_batch,
    iterate,
    repeats,
    require_iterable,
    take_batch,
)
from rlquant.errors import DataError
from rlquant.forward_pass import Arguments, run
from rlquant.samples import Samples
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.memory_layout import laid_out, lay_out, training_layout
from rlquant.training.settings import TrainSettings


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Samples):
    """Samples of one step, on the device.

    Attributes:
        index: which samples they are, on the CPU, where their inputs are always the same.
    """

    index: Tensor | None = None


class Batches(Protocol):
    """Where batches come from."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    def epoch(self) -> Iterator[Batch]:
        """Return the batches of the next epoch."""


class SampleBatches:
    """Batches of samples that are on the device, in an order that the seed decides.

    Args:
        samples: all samples; an incomplete last batch of an epoch is left out, unless it is the
            only one.
        settings: batch size and augmentation.
        seed: of order and augmentation.
        layout: of images.
    """

    def __init__(
        self,
        samples: Samples,
        settings: TrainSettings,
        seed: int,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self._samples = samples
        self._size = min(settings.batch_size, len(samples))
        self._augmentation, self._layout = settings.augmentation, layout
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._samples) // self._size

    def epoch(self) -> Iterator[Batch]:
        """Return the batches of the next epoch."""
        order = torch.randperm(len(self._samples), generator=self._generator)
        for index in torch.split(order[: len(self) * self._size], self._size):
            chosen = self._samples.select(index)
            inputs = augmented(chosen.inputs, self._augmentation, self._generator)
            fixed = None if self._augmentation is not None else index
            yield Batch(laid_out(inputs, self._layout), chosen.targets, fixed)


class IteratedBatches:
    """Batches as the user's loader gives them.

    A last batch of one sample is left out where the others have more: BatchNorm takes no
    statistics of it.

    Args:
        data: iterates (inputs, targets) batches again and again.
        settings: augmentation; the loader decides the size of its batches.
        seed: of the augmentation.
        device: where the network is.
        check: called with every batch before it is used.
        layout: of images.

    Raises:
        DataError: the loader gives no batch, or in one pass fewer samples than in an earlier one;
            what `check` raises.
    """

    def __init__(
        self,
        data: Data,
        settings: TrainSettings,
        seed: int,
        device: torch.device,
        check: Callable[[Samples], None] = lambda batch: None,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self._data, self._device, self._check = data, device, check
        self._layout = layout
        self._augmentation = settings.augmentation
        self._generator = torch.Generator().manual_seed(seed)
        self._most = 0
        self._count: int | None = None
        require_iterable(data, "train_data")
        if repeats(data):
            count = _not_empty(len(data) - _leaves_one(data))
            self._count = count if isinstance(data, DataLoader) else None

    def __len__(self) -> int:
        if self._count is None:  # a length says nothing of batches that are left out
            self._count = _not_empty(sum(1 for _ in self._pass()))
        return self._count

    def epoch(self) -> Iterator[Batch]:
        """Return the batches of one pass over the loader."""
        for batch in self._pass():
            inputs = augmented(batch.inputs, self._augmentation, self._generator)
            yield Batch(laid_out(inputs, self._layout), batch.targets)

    def _pass(self) -> Iterator[Samples]:
        largest = seen = 0
        for each in iterate(self._data, "train_data"):
            batch = take_batch(each, "train_data", self._device)
            largest, seen = max(largest, len(batch)), seen + len(batch)
            if len(batch) == 1 < largest:
                continue
            self._check(batch)
            yield batch
        if seen < self._most:
            raise fewer_samples(self._data, "train_data", seen, self._most)
        self._most = seen


def _not_empty(batches: int) -> int:
    if not batches:
        raise DataError("train_data is empty: it gave no batch")
    return batches


def augmented(
    inputs: Arguments, augmentation: CropAndFlip | None, generator: torch.Generator
) -> Arguments:
    """Return the network's arguments with the first one augmented."""
    if augmentation is None:
        return inputs
    if isinstance(inputs, dict):
        first = next(iter(inputs))
        return {**inputs, first: augmentation(inputs[first], generator)}
    return augmentation(inputs[0], generator), *inputs[1:]


def _leaves_one(loader: object) -> bool:
    """Return whether a PyTorch loader's last batch is one sample, which is left out."""
    if not isinstance(loader, DataLoader) or loader.batch_size is None or loader.drop_last:
        return False
    samples = len(loader.sampler)  # type: ignore[arg-type]
    return samples > loader.batch_size > 1 == samples % loader.batch_size


REMEMBERED_BYTES = 2**28
"""Memory for a teacher's answers."""


class Teacher:
    """A network in eval mode whose answers are kept for samples that never change.

    Answers that take more than `REMEMBERED_BYTES` together, as those of language models, are not
    kept but given again each time.

    Args:
        network: float network, of any size; a copy is run.
        samples: how many samples there are to remember; 0 to remember none.
    """

    def __init__(self, network: nn.Module, samples: int = 0) -> None:
        self._network = copy_network(network)
        self._layout: torch.memory_format | None = None
        self._known = torch.zeros(samples, dtype=torch.bool)
        self._answers: Tensor | None = None

    def __call__(self, batch: Batch) -> Any:
        """Return the teacher's outputs for a batch."""
        if batch.index is None or not len(self._known):
            return self._ask(batch)
        place = batch.index.to(batch.device)
        if not self._known[batch.index].all():
            answers = self._ask(batch)
            if not self._fits(answers):
                self._known = self._known[:0]
                return answers
            if self._answers is None:
                self._answers = answers.new_zeros(len(self._known), *answers.shape[1:])
            # The first answer to a sample stays: its last bits may depend on the batch it was in,
            # and every run must see the same.
            new = ~self._known[batch.index]
            self._answers[place[new.to(place.device)]] = answers[new.to(place.device)]
            self._known[batch.index] = True
        assert self._answers is not None
        return self._answers[place]

    def _fits(self, answers: Any) -> bool:
        """Return whether the answers to all samples are one tensor of little memory."""
        if not isinstance(answers, Tensor):
            return False
        return answers[:1].nbytes * len(self._known) <= REMEMBERED_BYTES

    def _ask(self, batch: Batch) -> Any:
        if self._layout is None:
            example = batch.first(2).inputs
            self._layout = training_layout(self._network, example)
            lay_out(self._network, self._layout)
        with torch.no_grad():
            return run(self._network, laid_out(batch.inputs, self._layout))


def make_batches(
    data: Data | Samples,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    check: Callable[[Samples], None] = lambda batch: None,
    layout: torch.memory_format = torch.channels_last,
) -> Batches:
    """Return the batches of samples, of a pair or mapping of tensors, or of a loader.

    Only the targets of a loader are checked: nobody has seen them all before.
    """
    if isinstance(data, Samples):
        return SampleBatches(data, settings, seed, layout)
    if is_batch(data):
        return SampleBatches(take_batch(data, "train_data", device), settings, seed, layout)
    return IteratedBatches(data, settings, seed, device, check, layout)
