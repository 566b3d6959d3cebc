"""What a network takes: one tensor, several, or several by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rlquant.errors import DataError
from rlquant.forward_pass import Arguments, as_arguments, tensors_in

Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
"""What a network takes: `network(inputs)`, `network(*inputs)` or `network(**inputs)`."""


def require_inputs(name: str, inputs: Any) -> Arguments:
    """Return the arguments of a forward pass; `DataError` where they are no samples to run on."""
    collected = isinstance(inputs, (Sequence, Mapping))
    found: Arguments = as_arguments(inputs) if collected else (inputs,)
    if not found or not all(isinstance(tensor, Tensor) for tensor in tensors_in(found)):
        kinds = sorted({type(tensor).__name__ for tensor in tensors_in(found)})
        raise DataError(f"{name} is {kinds}; give a tensor, a tuple of tensors, or tensors by name")
    for tensor in tensors_in(found):
        shape = tuple(tensor.shape)
        if tensor.is_meta:
            raise DataError(f"{name} of shape {shape} is a meta tensor; give one that has data")
        if shape[:1] == (0,):
            raise DataError(f"{name} of shape {shape} is empty; give at least one sample")
    return found


def require_positional(name: str, inputs: Any) -> tuple[Tensor, ...]:
    """Return the arguments of a forward pass that has no keyword arguments; see `require_inputs`.

    Raises:
        DataError: also where inputs are given by name.
    """
    found = require_inputs(name, inputs)
    if isinstance(found, dict):
        raise DataError(
            f"{name} gives inputs by name ({', '.join(found)}), which are not taken here; wrap the "
            f"network in one whose forward takes them in order, and give a tuple"
        )
    return found


def first_input(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """Return a module's first positional argument, or else its first tensor given by keyword."""
    if args:
        return args[0]
    return next((value for value in keywords.values() if isinstance(value, Tensor)), None)
