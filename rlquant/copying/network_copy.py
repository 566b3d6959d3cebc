"""Independent copies of networks."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from rlquant.copying.rebinding import place_of, rebind, storage_of
from rlquant.copying.references import tensors_in
from rlquant.errors import NetworkError


def copy_network(
    network: nn.Module,
    *,
    unset: Iterable[nn.Parameter] = (),
    shared: Iterable[nn.Parameter] = (),
) -> nn.Module:
    """Return an independent copy in eval mode that asks for no gradients.

    Args:
        network: left as it is.
        unset: parameters that will be written anyway: in the copy they hold anything.
        shared: parameters that nobody writes to: the copy's hold the same memory, unless it has
            views of them besides.

    Raises:
        NetworkError: see `independent_copy`.
    """
    same, written = list(shared), list(unset)
    with torch.inference_mode(False):  # in which parameters have no versions
        blank = {id(p): nn.Parameter(torch.empty_like(p), p.requires_grad) for p in same + written}
        copied = independent_copy(network, blank).eval().requires_grad_(False)
        viewed = _viewed(copied) if same else set()
        for parameter in same:
            empty = blank[id(parameter)]
            if storage_of(empty) in viewed:
                empty.detach().copy_(parameter.detach())
            else:
                empty.data = parameter.detach()
    return copied


def _viewed(network: nn.Module) -> set[int | None]:
    """Return the memory of tensors that are no parameters: views of these, for example."""
    return {storage_of(t) for t in tensors_in(network) if not isinstance(t, nn.Parameter)}


def shared_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network of ours that is run only: its parameters hold the same memory.

    Whatever else a pass changes, such as buffers and attributes, is the copy's own.
    """
    return copy_network(network, shared=network.parameters())


def independent_copy(network: nn.Module, replaced: dict[int, Any] | None = None) -> nn.Module:
    """Return a deep copy that computes with nothing of the original, functions in it included.

    Tensors that it kept of a pass with gradients come without their graph.

    Args:
        network: left as it is.
        replaced: by id, what takes the place of a part in the copy.

    Raises:
        NetworkError: something in it cannot be copied, or still computes with the original.
    """
    given = replaced or {}
    memo = dict(given)
    try:
        copied = copy.deepcopy(network, memo)
    except RuntimeError:  # a tensor with a graph is one of the reasons
        memo = given | {id(t): t.detach().clone() for t in tensors_in(network) if not t.is_leaf}
        copied = _copied(network, memo)
    except Exception as error:  # copying runs the user's code, which may raise anything
        raise _cannot_copy(network, error) from error
    rebind(network, copied, memo)
    return copied


def _copied(network: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(network, memo)
    except Exception as error:  # as above
        raise _cannot_copy(network, error) from error


def _cannot_copy(network: nn.Module, error: Exception) -> NetworkError:
    reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return NetworkError(
        f"{_uncopyable(network)} cannot be copied ({reason[:200]}), and rlquant works on copies "
        f"alone; take it off the network, or give the module a __deepcopy__ of its own"
    )


def _uncopyable(network: nn.Module) -> str:
    """Return what copying a network fails at: an attribute of the innermost module that fails."""
    for name, module in reversed(list(network.named_modules())):
        if _fails(module):
            place = place_of(name)
            own = (key for key, value in vars(module).items() if _fails(value))
            attribute = next((key for key in own if not key.startswith("_")), None)
            return place if attribute is None else f"{place}: its attribute {attribute!r}"
    return place_of("")


def _fails(value: Any) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:  # whatever it is, it is why the network is refused
        return True
    return False
