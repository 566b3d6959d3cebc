"""A forward pass on inputs that stay as they are, and the error where a network does not run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rlquant.errors import DataError, RlquantError

Arguments = tuple[Tensor, ...] | dict[str, Tensor]
"""What a network is called with: positional arguments, or keyword arguments."""

LONGEST_REASON = 200
OF_TYPES_AND_DEVICES = ("dtype", "scalar type", "type (", "device")
"""What PyTorch's errors say where tensors of different types or devices meet."""


def as_arguments(inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor]) -> Arguments:
    """Return `inputs` as the arguments of the network: a mapping gives keyword arguments."""
    if isinstance(inputs, Tensor):
        return (inputs,)
    return dict(inputs) if isinstance(inputs, Mapping) else tuple(inputs)


def run(network: Callable[..., Any], inputs: Arguments) -> Any:
    """Return what a network gives for its arguments."""
    return network(**inputs) if isinstance(inputs, Mapping) else network(*inputs)


def in_order(network: nn.Module, inputs: Arguments, name: str) -> tuple[Tensor, ...]:
    """Return arguments by position; those by name in the order in which the forward takes them.

    Args:
        network: with the forward.
        inputs: its arguments.
        name: of the inputs, for errors.

    Raises:
        DataError: other arguments of the forward would stand between them.
    """
    if not isinstance(inputs, Mapping):
        return inputs
    try:
        bound = inspect.signature(network.forward).bind_partial(**inputs)
    except (TypeError, ValueError):
        bound = None
    if bound is None or len(bound.args) != len(inputs):
        raise DataError(
            f"{name} gives inputs by name ({', '.join(inputs)}), which are not the first arguments "
            f"of {type(network).__name__}.forward; wrap the network in one whose forward takes "
            f"them in order, and give a tuple"
        )
    return bound.args


def tensors_in(values: Tensor | Arguments | Mapping[str, Tensor]) -> list[Tensor]:
    """Return the tensors of arguments or targets, in order."""
    if isinstance(values, Tensor):
        return [values]
    return list(values.values()) if isinstance(values, Mapping) else list(values)


@overload
def mapped(change: Callable[[Tensor], Tensor], values: Tensor) -> Tensor: ...
@overload
def mapped(
    change: Callable[[Tensor], Tensor], values: tuple[Tensor, ...]
) -> tuple[Tensor, ...]: ...
@overload
def mapped(change: Callable[[Tensor], Tensor], values: dict[str, Tensor]) -> dict[str, Tensor]: ...
@overload
def mapped(
    change: Callable[[Tensor], Tensor], values: Tensor | Arguments | Mapping[str, Tensor]
) -> Any: ...
def mapped(
    change: Callable[[Tensor], Tensor], values: Tensor | Arguments | Mapping[str, Tensor]
) -> Any:
    """Return arguments or targets of the same form, with every tensor changed."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, Mapping):
        return {name: change(tensor) for name, tensor in values.items()}
    return tuple(change(tensor) for tensor in values)


def own(tensor: Tensor) -> Tensor:
    """Return a copy with memory of its own and the same strides."""
    return tensor.detach().clone()


def copies(values: Arguments) -> Arguments:
    """Return arguments with memory of their own and the same strides, which may be written to."""
    copied: Arguments = mapped(own, values)
    return copied


def outputs_of(network: nn.Module, inputs: Arguments, name: str, role: str = "network") -> Any:
    """Run a network on copies of its inputs.

    Args:
        network: it is run as it is, no copy of it.
        inputs: its arguments.
        name: what they are called in the error.
        role: what the network is called in there.

    Raises:
        DataError: the network does not run on them; it gives their shapes.
    """
    try:
        return run(network, copies(inputs))
    except RlquantError:
        raise
    except Exception as error:  # the network is the user's and may raise anything
        shapes = shapes_of(inputs)
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise DataError(
            f"{name}: the {role} does not run on its first samples, inputs of shape "
            f"{shapes[:LONGEST_REASON]}: {type(error).__name__}: {reason}{_remedy(reason)}"
        ) from error


def shapes_of(inputs: Arguments) -> str:
    """Return the shapes of arguments, with their names where they have some."""
    if isinstance(inputs, Mapping):
        return ", ".join(f"{name} {tuple(t.shape)}" for name, t in inputs.items())
    return ", ".join(str(tuple(tensor.shape)) for tensor in inputs)


def output_bytes(outputs: Any) -> int:
    """Return the bytes of the tensors in a network's outputs."""
    return sum(t.numel() * t.element_size() for t in tree_leaves(outputs) if isinstance(t, Tensor))


def _remedy(reason: str) -> str:
    """Return what to do where types or devices differ: the caller's defaults are not in force."""
    if not any(word in reason for word in OF_TYPES_AND_DEVICES):
        return ""
    return (
        "; inside rlquant the default type is float32 and the default device the CPU: name type "
        "and device where forward makes tensors"
    )
