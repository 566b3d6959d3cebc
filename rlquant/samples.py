"""Samples: inputs and targets of an evaluation, taken once and never written to."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.errors import DataError
from rlquant.forward_pass import Arguments, copies, mapped, own, tensors_in
from rlquant.offloaded_tensors import OffloadedTensors

logger = logging.getLogger(__name__)

Targets = Tensor | Mapping[str, Tensor]
"""What outputs are scored by: a tensor, tensors by name, or none (an empty mapping)."""
MASK = "attention_mask"
"""The input by which Hugging Face's networks are told which positions are padding."""


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Samples taken once and kept on the device, which nobody else ever holds.

    Networks and objectives may write in place to what they are given, and are run on the same
    samples again and again: `inputs` and `targets` are new copies each time they are asked for.
    Against a forward pass that costs next to nothing.
    """

    _inputs: Arguments
    _targets: Targets

    @property
    def inputs(self) -> Arguments:
        """The network's arguments, each with the samples along axis 0; a copy."""
        return copies(self._inputs)

    @property
    def positional(self) -> tuple[Tensor, ...]:
        """The network's arguments in order; a copy.

        Raises:
            DataError: inputs are given by name.
        """
        found = self.inputs
        if isinstance(found, dict):
            raise DataError(
                f"inputs are given by name ({', '.join(found)}), which are not taken here; wrap "
                f"the network in one whose forward takes them in order, and give tuples"
            )
        return found

    @property
    def targets(self) -> Any:
        """Targets along axis 0, a tensor or tensors by name; a copy."""
        if isinstance(self._targets, OffloadedTensors):
            return dict(self._targets)  # each is read into memory of its own
        return mapped(own, self._targets)

    @property
    def mask(self) -> Tensor | None:
        """Which positions count, bool of shape `(samples, positions)`; None where all do."""
        found = self._inputs.get(MASK) if isinstance(self._inputs, dict) else None
        return None if found is None or found.dim() != 2 else found != 0

    @property
    def device(self) -> torch.device:
        """Where they are kept."""
        return tensors_in(self._inputs)[0].device

    def __len__(self) -> int:
        return len(tensors_in(self._inputs)[0])

    @property
    def nbytes(self) -> int:
        """Bytes of inputs and targets."""
        return sum(tensor.nbytes for tensor in self._columns())

    def first(self, count: int) -> Samples:
        """Return the first `count` samples (views)."""
        return self._with(lambda tensor: tensor[:count])

    def behind(self, count: int) -> Samples:
        """Return what comes behind the first `count` samples (views); none is left where few."""
        return self._with(lambda tensor: tensor[max(0, count) :])

    @property
    def tokens(self) -> Tensor:
        """How many tokens each sample has that count, int64 `(samples,)`; 1 for what has none."""
        if not self._are_of_tokens:
            return torch.ones(len(self), dtype=torch.int64, device=self.device)
        if self.mask is not None:
            return self.mask.sum(dim=1)
        positions = tensors_in(self._inputs)[0].shape[1]
        return torch.full((len(self),), positions, dtype=torch.int64, device=self.device)

    def within(self, tokens: int) -> Samples:
        """Return the first samples that have at most so many tokens together, at least one."""
        fitting = int((self.tokens.cumsum(dim=0) <= tokens).sum())
        return self.first(max(1, fitting))

    @property
    def _are_of_tokens(self) -> bool:
        """Whether inputs are integers alone, all of one shape `(samples, positions)`."""
        tensors = tensors_in(self._inputs)
        integers = all(t.dim() == 2 and not t.is_floating_point() for t in tensors)
        return integers and len({t.shape for t in tensors}) == 1

    def shortened(self, positions: int) -> Samples:
        """Return the first positions of samples of tokens; any other samples as they are.

        Samples of tokens have integer inputs alone, all of one shape `(samples, positions)`, and no
        sample whose first positions are all masked.
        """
        if not self._are_of_tokens or tensors_in(self._inputs)[0].shape[1] <= positions:
            return self
        if self.mask is not None and not self.mask[:, :positions].any(dim=1).all():
            return self
        return Samples(mapped(lambda tensor: tensor[:, :positions], self._inputs), self._targets)

    def select(self, index: Tensor) -> Samples:
        """Return the samples of these numbers, in this order."""
        place = index.to(self.device)
        return self._with(lambda tensor: tensor[place])

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
        return self._with(lambda tensor: tensor[start:end])

    def _with(self, change: Any) -> Samples:
        return Samples(mapped(change, self._inputs), mapped(change, self._targets))

    def with_targets(self, targets: Targets) -> Samples:
        """Return the same inputs with other targets."""
        kept = isinstance(targets, Tensor | OffloadedTensors)
        return Samples(self._inputs, targets if kept else dict(targets))

    def infinite(self) -> list[int]:
        """Return the numbers of the samples with an infinite input, counted from 0."""
        found = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        for tensor in tensors_in(self._inputs):
            others = math.prod(tensor.shape[1:])  # may be 0
            found |= torch.isinf(tensor).reshape(len(self), others).any(dim=1)
        return found.nonzero().flatten().tolist()

    def require_no_nan(self, name: str) -> None:
        """Raise `DataError` for inputs that are NaN; infinite ones may be meant, as in a mask."""
        if any(torch.isnan(tensor).any() for tensor in tensors_in(self._inputs)):
            raise DataError(
                f"{name}: some of its inputs are NaN; mend those samples or leave them out"
            )

    def _columns(self) -> list[Tensor]:
        return [*tensors_in(self._inputs), *tensors_in(self._targets)]

    def fingerprint(self) -> str:
        """Return a hash of names, shapes, types and contents (hex)."""
        found = fingerprint_tensors(self._columns())
        names = [list(v) for v in (self._inputs, self._targets) if isinstance(v, Mapping)]
        return f"{found} {names}" if names else found

    def rows(self) -> list[bytes]:
        """Return a hash of each sample, inputs and target together."""
        columns = [_bytes(t).reshape(len(self), -1) for t in self._columns()]
        return [
            hashlib.blake2b(b"".join(c[i].tobytes() for c in columns), digest_size=16).digest()
            for i in range(len(self))
        ]

    def to(self, device: torch.device) -> Samples:
        """Return the samples on a device, copied where they are on another one."""
        return self._with(lambda tensor: tensor.to(device))

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Return the samples of all parts in memory of their own.

        Raises:
            RuntimeError, ValueError: parts that do not fit each other.
        """
        return cls(
            _joined([part._inputs for part in parts]), _joined([part._targets for part in parts])
        )


def _joined(parts: Sequence[Any]) -> Any:
    """Return arguments or targets of all parts, one after the other along axis 0."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, dict):
        if any(part.keys() != first.keys() for part in parts):
            raise ValueError(f"names differ: {sorted({name for part in parts for name in part})}")
        return {name: torch.cat([part[name] for part in parts]) for name in first}
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def counted(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return what a layer's statistics count of a tensor of activations.

    Args:
        values: shape `(samples, positions, ...)` or `(samples * positions, ...)`.
        mask: which positions count, bool of shape `(samples, positions)`; None for all.

    Returns:
        Shape `(counted positions, ...)` where the mask fits; else the values as they are.
    """
    if mask is None:
        return values
    if values.shape[:2] == mask.shape:
        return values[mask]
    if values.dim() == 2 and len(values) == mask.numel():
        return values[mask.flatten()]
    return values


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
