"""Sums over what layers multiply their weights with, one for all layers that read the same tensor.

Queries, keys and values of a transformer read one tensor, gates and what they multiply another:
their sums are equal and are computed and kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import ReferenceType, WeakValueDictionary, ref

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlquant.layers import LayerFacts
from rlquant.network_inputs import first_input
from rlquant.network_kind import is_measured
from rlquant.samples import counted

ROW_BYTES = 2**26
"""Bytes of the rows that a convolution's inputs are unfolded into at a time: of each number a 3 x 3
kernel makes nine. Sums over more rows are added up in parts, which changes their last bits."""
BYTES = 4
"""Of a number of a row."""
Product = Callable[[Tensor], Tensor]
"""Rows in, shape `(groups, rows, fan_in)`, sums of products of two inputs over the rows out."""


def outer_products(rows: Tensor) -> Tensor:
    """Return the sum of x x^T, shape `(groups, fan_in, fan_in)`."""
    return rows.transpose(1, 2) @ rows


def squares(rows: Tensor) -> Tensor:
    """Return the sum of the squares of each input, shape `(groups, fan_in)`."""
    return rows.square().sum(dim=1)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class InputSums:
    """Sums over the rows seen, each less `shift`: the mean of the first rows.

    Without it, the spread of inputs that is small against their mean would be lost in float32.

    Attributes:
        number: no other sums of a recorder have it.
        shift: shape `(groups, 1, fan_in)`.
        second: of products, float32, or float64 where they are too large for it.
        total: of the rows, float64, shape `(groups, fan_in)`.
        count: of the rows.
    """

    number: int
    shift: Tensor
    second: Tensor
    total: Tensor
    count: int

    @classmethod
    def before(cls, rows: Tensor, product: Product) -> InputSums:
        """Return the sums before the first rows, shape `(groups, rows, fan_in)`."""
        shift = rows.mean(dim=1, keepdim=True, dtype=torch.float64)  # exact for constant inputs
        none = torch.zeros_like(shift, dtype=torch.float32)
        return cls(0, shift.float(), product(none), torch.zeros_like(shift[:, 0]), 0)

    def plus(self, rows: Tensor, product: Product, number: int) -> InputSums:
        """Return the sums with more rows, shape `(groups, rows, fan_in)`."""
        shifted = rows - self.shift
        second = (
            product(shifted).add_(self.second) if self._is_short else self._wide(shifted, product)
        )
        if not torch.isfinite(second).all():
            second = self._wide(shifted, product)
        total = self.total + shifted.sum(dim=1, dtype=torch.float64)
        return InputSums(number, self.shift, second, total, self.count + rows.shape[1])

    @property
    def _is_short(self) -> bool:
        return self.second.dtype == torch.float32

    def _wide(self, shifted: Tensor, product: Product) -> Tensor:
        return product(shifted.double()).add_(self.second)


class Recorder:
    """Adds what layers read to their sums, once for all layers that have read the same so far.

    Args:
        layers: those that can be measured are recorded.
        product: of rows.

    Attributes:
        sums: by layer; layers that always read the same tensors have the very same.
    """

    def __init__(self, layers: Sequence[LayerFacts], product: Product) -> None:
        self.sums: dict[str, InputSums] = {}
        self._layers, self._product, self._numbers = layers, product, count(1)
        self._read: dict[Hashable, _Read] = {}

    @contextmanager
    def watching(self, network: nn.Module, mask: Tensor | None) -> Iterator[None]:
        """Within the context, one forward pass adds the inputs of the layers.

        Args:
            network: whose layers are watched.
            mask: which positions count, see `counted`.
        """
        handles = []
        for facts in self._layers:
            module = network.get_submodule(facts.name)
            if is_measured(module):
                hook = self._hook(facts.name, mask)
                handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        try:
            yield
        finally:
            self._read.clear()
            for handle in handles:
                handle.remove()

    def _hook(self, name: str, mask: Tensor | None) -> Any:
        def hook(module: nn.Module, args: Any, keywords: Any) -> None:
            given = first_input(args, keywords)
            before, after = self.sums.get(name), self._after(module, given)
            start = 0 if before is None else before.number
            found = after.get(start)
            if found is None:
                if isinstance(module, nn.Linear):
                    given = counted(given, mask)
                found = self._plus(before, module, given)
                if found is None:
                    return
                after[start] = found
            self.sums[name] = found

        return hook

    def _plus(self, sums: InputSums | None, module: nn.Module, given: Tensor) -> InputSums | None:
        """Return sums with the rows of some inputs added, None where there are no rows at all."""
        number = next(self._numbers)
        for part in parts_of(module, given):
            rows = input_rows(module, part).float()  # float16 would overflow
            if rows.shape[1]:
                sums = sums or InputSums.before(rows, self._product)
                sums = sums.plus(rows, self._product, number)
        return sums

    def _after(self, module: nn.Module, given: Tensor) -> WeakValueDictionary[int, InputSums]:
        """Return, by the number of sums before, what they become with this input, where known."""
        key = _identity(module, given)
        read = self._read.get(key)
        if read is None or not read.is_still(module, key):
            read = self._read[key] = _Read(ref(given), WeakValueDictionary())
        return read.after


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A tensor that was read in this pass, and what sums became with it."""

    tensor: ReferenceType[Tensor]
    after: WeakValueDictionary[int, InputSums]

    def is_still(self, module: nn.Module, key: Hashable) -> bool:
        """Return whether the tensor is as it was: else its memory may have been used again."""
        tensor = self.tensor()
        return tensor is not None and _identity(module, tensor) == key


def _identity(module: nn.Module, given: Tensor) -> Hashable:
    """Return what is the same for two layers only where they multiply with the same numbers."""
    if given.is_inference():  # writes to it leave no trace
        return object()
    return (
        given.untyped_storage().data_ptr(),
        given.storage_offset(),
        given.shape,
        given.stride(),
        given.dtype,
        given.device,
        given._version,
        float(given.sum(dtype=torch.float64)),  # writes through .data leave no other trace
        _reading(module),
    )


def _reading(module: nn.Module) -> Hashable:
    """Return how a layer makes rows of its input."""
    if not isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return None
    kernel = (module.kernel_size, module.stride, module.dilation, module.groups)
    padding = (module.padding_mode, module._reversed_padding_repeated_twice)
    return repr((kernel, padding))  # some networks set lists


def parts_of(module: nn.Module, inputs: Tensor) -> Sequence[Tensor]:
    """Return the inputs of a convolution in parts of samples whose rows take `ROW_BYTES`."""
    if isinstance(module, nn.Linear) or len(inputs) < 2:
        return (inputs,)
    each = input_rows(module, inputs[:1]).numel() * BYTES
    return torch.split(inputs, max(1, ROW_BYTES // max(1, each)))


def input_rows(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return what the layer multiplies its weights with, shape `(groups, rows, fan_in)`.

    A convolution has a row for each sample and position of its output.
    """
    if isinstance(module, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1])
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(inputs, module._reversed_padding_repeated_twice, mode=mode)
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    if isinstance(module, nn.Conv1d):
        padded = padded[:, :, None]
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
    columns = functional.unfold(padded, kernel, dilation=dilation, stride=stride)
    samples, width, positions = columns.shape
    groups = module.groups
    split = columns.reshape(samples, groups, width // groups, positions)
    return split.permute(1, 0, 3, 2).reshape(groups, samples * positions, width // groups)
