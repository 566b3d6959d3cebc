"""A forward pass on inputs that stay as they are, and the error where a network does not run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from rlquant.errors import DataError, RlquantError

LONGEST_REASON = 200
OF_TYPES_AND_DEVICES = ("dtype", "scalar type", "type (", "device")
"""What PyTorch's errors say where tensors of different types or devices meet."""


def copies(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Return tensors with memory of their own and the same strides, which may be written to."""
    return tuple(tensor.detach().clone() for tensor in tensors)


def outputs_of(
    network: nn.Module, inputs: Iterable[Tensor], name: str, role: str = "network"
) -> Any:
    """Run a network on copies of its inputs.

    Args:
        network: it is run as it is, no copy of it.
        inputs: its arguments.
        name: what they are called in the error.
        role: what the network is called in there.

    Raises:
        DataError: the network does not run on them; it gives their shapes.
    """
    given = tuple(inputs)
    try:
        return network(*copies(given))
    except RlquantError:
        raise
    except Exception as error:  # the network is the user's and may raise anything
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in given)
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise DataError(
            f"{name}: the {role} does not run on its first samples, inputs of shape "
            f"{shapes[:LONGEST_REASON]}: {type(error).__name__}: {reason}{_remedy(reason)}"
        ) from error


def _remedy(reason: str) -> str:
    """Return what to do where types or devices differ: the caller's defaults are not in force."""
    if not any(word in reason for word in OF_TYPES_AND_DEVICES):
        return ""
    return (
        "; inside rlquant the default type is float32 and the default device the CPU: name type "
        "and device where forward makes tensors"
    )
