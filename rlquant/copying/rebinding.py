"""Rebinding of functions that a deep copy would share with its original.

`copy.deepcopy` takes functions as they are. A closure that a module carries, as its `forward` or
as a hook, therefore goes on computing with the modules and weights of the original.
"""

from __future__ import annotations

import copy
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType
from typing import Any
from weakref import ReferenceType

import torch
from torch import Tensor, nn

from rlquant.copying.references import (
    attributes,
    compiled_from,
    contents,
    held,
    is_of_torch,
    mentioned_in_forward,
    tensors_in,
    used_globals,
)
from rlquant.errors import NetworkError


class CannotRebind(Exception):
    """A value that belongs to the original and that nothing can be put in the place of."""


class Rebinding:
    """Puts what belongs to a copied network in the place of what belongs to its original.

    Args:
        pairs: each module and tensor of the original with what stands for it in the copy.
        owned: ids of values that belong to the copy alone, and may be written to.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]], owned: Iterable[int]) -> None:
        self._counterparts = {id(one): other for one, other in pairs}
        tensors = [(one, other) for one, other in pairs if isinstance(one, Tensor)]
        tensors.sort(key=lambda pair: isinstance(pair[0], nn.Parameter))  # a parameter comes last
        self._storages: dict[int | None, tuple[Tensor, Tensor]] = {
            storage_of(one): (one, other) for one, other in tensors
        }
        self._storages.pop(None, None)
        self._owned = set(owned)
        self._clean: set[int] = set()
        self._made: dict[int, Any] = {}
        self._alive: list[Any] = []  # so that ids stay unique

    def module(self, module: nn.Module) -> None:
        """Bind again what a module of the copy carries; `CannotRebind` where it fails."""
        own = vars(module)
        for name, value in list(own.items()):
            if name not in ("_parameters", "_buffers", "_modules"):
                own[name] = self.value(value)

    def value(self, value: Any) -> Any:
        """Return what takes a value's place in the copy: itself where it leads to the copy alone.

        Raises:
            CannotRebind: it leads to the original in a way that cannot be followed.
        """
        if not self.leads_out(value):
            return value
        if id(value) in self._counterparts:
            return self._counterparts[id(value)]
        if id(value) not in self._made:
            self._alive.append(value)
            self._made[id(value)] = self._rebuilt(value)
        return self._made[id(value)]

    def leads_out(self, value: Any) -> bool:
        """Return whether a value leads to a module or tensor of the original."""
        seen: set[int] = set()
        todo = [value]
        while todo:
            current = todo.pop()
            if id(current) in self._counterparts or self._is_view(current):
                return True
            if id(current) not in seen and id(current) not in self._clean:
                seen.add(id(current))
                todo.extend(held(current))
        self._clean |= seen
        return False

    def views(self, tensors: Iterable[Tensor], memo: Mapping[int, Any]) -> None:
        """Let copies of tensors that are views of the original's be views of the copy's.

        A deep copy gives each parameter memory of its own, and so parts it from its views.
        """
        for tensor in tensors:
            copied = memo.get(id(tensor))
            if self._is_view(tensor) and isinstance(copied, Tensor):
                copied.data = self._view(tensor)

    def _view(self, tensor: Tensor) -> Tensor:
        one, other = self._storages[storage_of(tensor)]
        offset = tensor.storage_offset() - one.storage_offset() + other.storage_offset()
        return other.detach().as_strided(tensor.size(), tensor.stride(), offset)

    def _is_view(self, value: Any) -> bool:
        """Return whether a value is a tensor in the memory of one of the original's."""
        if not isinstance(value, Tensor):
            return False
        storage = storage_of(value)
        return storage in self._storages and self._storages[storage][0].dtype == value.dtype

    def _rebuilt(self, value: Any) -> Any:
        match value:
            case Tensor():
                return self._view(value)
            case FunctionType():
                return self._function(value)
            case MethodType():
                return MethodType(self.value(value.__func__), self.value(value.__self__))
            case BuiltinFunctionType():
                return getattr(self.value(value.__self__), value.__name__)
            case partial():
                named = {name: self.value(given) for name, given in value.keywords.items()}
                return type(value)(self.value(value.func), *map(self.value, value.args), **named)
            case ReferenceType() if type(value) is ReferenceType:
                return weakref.ref(self.value(value()))
            case tuple() | frozenset():
                items = [self.value(item) for item in value]
                return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return self._filled(value)

    def _function(self, function: FunctionType) -> Any:
        compiled = compiled_from(function)
        if compiled is not None:
            return self.value(compiled)  # what was compiled belongs to the original
        for name, found in used_globals(function).items():
            if self.leads_out(found):
                raise CannotRebind(f"{function.__qualname__} uses the global {name!r}")
        cells = [CellType() for _ in function.__closure__ or ()]
        made = FunctionType(
            function.__code__, function.__globals__, function.__name__, None, tuple(cells)
        )
        self._made[id(function)] = made  # before its contents, which may hold it
        for cell, found in zip(cells, contents(function), strict=True):
            cell.cell_contents = self.value(found)
        made.__defaults__ = self.value(function.__defaults__)
        made.__kwdefaults__ = self.value(function.__kwdefaults__)
        made.__dict__.update({name: self.value(v) for name, v in vars(function).items()})
        made.__module__, made.__qualname__ = function.__module__, function.__qualname__
        made.__doc__, made.__annotations__ = function.__doc__, function.__annotations__
        return made

    def _filled(self, value: Any) -> Any:
        """Bind again what a value holds, in a shallow copy unless it is the copy's."""
        own = value if id(value) in self._owned else _shallow(value)
        self._made[id(value)] = self._made[id(own)] = own
        match own:
            case dict():
                items = [(self.value(k), self.value(v)) for k, v in own.items()]
                own.clear()
                own.update(items)
            case list():
                own[:] = [self.value(item) for item in own]
            case set() | deque():
                members = [self.value(item) for item in own]
                own.clear()
                own.update(members) if isinstance(own, set) else own.extend(members)
            case _ if not any(map(self.leads_out, attributes(own).values())):
                raise CannotRebind(f"a {type(value).__name__}, which cannot be rebuilt, holds it")
        for name, found in attributes(own).items():
            new = self.value(found)
            if new is not found:
                object.__setattr__(own, name, new)
        return own


def _shallow(value: Any) -> Any:
    try:
        own = copy.copy(value)
    except Exception as error:  # copying runs the value's own code, which may raise anything
        raise CannotRebind(f"a {type(value).__name__}, which cannot be copied, holds it") from error
    if own is value:
        raise CannotRebind(f"a {type(value).__name__}, which is never copied, holds it")
    return own


def rebind(original: nn.Module, copied: nn.Module, memo: Mapping[int, Any]) -> None:
    """Bind what a deep copy shares with its original to the copy.

    Args:
        original: the network that was copied; left as it is.
        copied: its deep copy.
        memo: what `copy.deepcopy` left in its memo.

    Raises:
        NetworkError: a module computes with the original in a way that cannot be followed.
    """
    modules = dict(copied.named_modules(remove_duplicate=False))
    owned = {id(value) for value in memo.values()} | {id(module) for module in modules.values()}
    rebinding = Rebinding(list(_pairs(original, modules)), owned)
    _require_own_forward(original, rebinding)
    rebinding.views(_loose_tensors(original), memo)
    classes: set[type[nn.Module]] = set()
    for name, module in modules.items():
        try:
            rebinding.module(module)
            if type(module) not in classes and not is_of_torch(type(module)):
                classes.add(type(module))
                _require_closed(type(module), rebinding)
        except CannotRebind as reason:
            raise NetworkError(
                f"{place_of(name)}: it computes with modules or weights of this network in a way "
                f"that a copy cannot take over ({str(reason)[:200]}), so that quantizing the copy "
                f"has no effect; let forward and hooks reach them through the module itself"
            ) from reason


def _require_own_forward(network: nn.Module, rebinding: Rebinding) -> None:
    """Raise `NetworkError` where a network's forward was replaced by one that knows nothing of it.

    Of a module inside it that is no mistake: so it is skipped.
    """
    forward = vars(network).get("forward")
    if forward is None or rebinding.leads_out(forward):
        return
    if next(network.parameters(), None) is not None:
        raise NetworkError(
            f"{place_of('')}: its forward was replaced by a function that uses none of its modules "
            f"and weights, so that quantizing them has no effect; let it reach them through the "
            f"network"
        )


def _loose_tensors(network: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors that a network holds and that are no parameters."""
    return (t for t in tensors_in(network) if not isinstance(t, nn.Parameter))


def place_of(name: str) -> str:
    """Return a module's place in a message; its path is empty where it is the network."""
    return f"layer {name!r}" if name else "the network itself"


def _pairs(original: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[tuple[Any, Any]]:
    for name, module in original.named_modules(remove_duplicate=False):
        copied = modules.get(name)
        if copied is None or copied is module:
            raise NetworkError(
                f"{place_of(name)}: copying the network does not copy this module; let its "
                f"__deepcopy__ return a copy"
            )
        yield module, copied
        others = dict(_own_tensors(copied))
        for key, tensor in _own_tensors(module):
            if key in others:
                _require_parted(name, key, tensor, others[key])
                yield tensor, others[key]


def _require_parted(name: str, key: str, tensor: Tensor, copied: Tensor) -> None:
    """Raise `NetworkError` where a copied tensor is in the memory of the original."""
    storage = storage_of(tensor)
    if tensor is copied or (storage is not None and storage == storage_of(copied)):
        raise NetworkError(
            f"{place_of(name)}: copying the network does not copy its tensor {key!r}; let "
            f"__deepcopy__ return a copy that shares no memory"
        )


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield a module's own parameters and buffers, each under every name that it has."""
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    yield from module.named_buffers(recurse=False, remove_duplicate=False)


def storage_of(tensor: Tensor) -> int | None:
    """Return what tells the memory of a dense tensor apart, None for any other tensor."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return None
    return int(tensor.untyped_storage()._cdata)


def _require_closed(cls: type[nn.Module], rebinding: Rebinding) -> None:
    """Raise `CannotRebind` where a class's own code or attributes lead to the original."""
    for name, found in mentioned_in_forward(cls):
        if rebinding.leads_out(found):
            raise CannotRebind(f"{cls.__qualname__}.{name} of its class holds or uses them")
