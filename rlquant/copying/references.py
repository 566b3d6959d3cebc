"""References held by a Python value, followed to everything that a copy computes with."""

from __future__ import annotations

import dis
import gc
import inspect
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ReferenceType

import numpy as np
import torch
from torch import Tensor, nn

COMPILED_FROM = "_torchdynamo_orig_callable"
"""Where torch.compile keeps the function that it compiled."""

REMEMBERED = 4096
"""Functions whose names are kept: a network is copied many times, and its code stays the same."""

ENTRANCES = ("forward", "__call__", "__getattr__", "__getitem__")
"""Methods through which a module is used without being named in its code."""

LEAVES = (
    *(type(None), bool, int, float, complex, str, bytes, type, ModuleType, CodeType),
    *(Tensor, torch.dtype, torch.device),
    logging.Logger,  # holds every other logger of the process
)
"""Types of values that are not looked into."""


def held(value: Any) -> Iterator[Any]:
    """Yield what a value holds itself and can be asked for; of a function also the globals."""
    if isinstance(value, LEAVES):
        return
    match value:
        case FunctionType():
            if compiled_from(value) is not None:
                yield compiled_from(value)
                return
            yield from (value.__defaults__ or (), value.__kwdefaults__ or {})
            yield from contents(value)
            yield from used_globals(value).values()
        case MethodType():
            yield from (value.__func__, value.__self__)
        case BuiltinFunctionType():
            yield value.__self__
        case partial():
            yield from (value.func, value.args, value.keywords)
        case ReferenceType():
            yield value()
        case dict():
            yield from value.keys()
            yield from value.values()
        case list() | tuple() | set() | frozenset() | deque():
            yield from value
        case np.ndarray():
            yield from value.flat if value.dtype.hasobject else ()
        case _:
            yield from gc.get_referents(value)  # of iterators, generators, proxies of mappings, ...
    yield from attributes(value).values()


def compiled_from(function: FunctionType) -> Any:
    """Return what torch.compile made a function of, None for any other function."""
    return vars(function).get(COMPILED_FROM)


def contents(function: FunctionType) -> list[Any]:
    """Return what the cells of a closure hold; a cell that is not filled yet counts as None."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            found.append(None)
    return found


def attributes(value: Any) -> dict[str, Any]:
    """Return a value's own attributes, those in slots included."""
    own = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        names = vars(cls).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                own[name] = getattr(value, name)
    return own


def used_globals(function: FunctionType) -> Mapping[str, Any]:
    """Return the values of the global names that a function reads, unless PyTorch wrote it.

    Of modules what the function mentions of them; of other functions only those of the same file.
    """
    if is_of_torch(function):
        return {}
    known = function.__globals__
    mentioned = _mentioned_names(function.__code__)
    named = {name: known[name] for name in mentioned & known.keys()}
    found = {name: value for name, value in named.items() if _may_hold(value, known)}
    for name, module in named.items():
        if isinstance(module, ModuleType) and not f"{module.__name__}.".startswith("torch."):
            inside = {f"{name}.{key}": vars(module)[key] for key in mentioned & vars(module).keys()}
            found |= {key: value for key, value in inside.items() if _may_hold(value, known)}
    if not found:
        return {}
    read = _read_globals(function.__code__)
    return {name: value for name, value in found.items() if name.partition(".")[0] in read}


def mentioned_in_forward(cls: type[nn.Module]) -> Iterator[tuple[str, Any]]:
    """Yield by name what a forward pass of a class can use of that class, PyTorch's code left out.

    Functions and other attributes: `ENTRANCES`, and what functions among these mention.
    """
    todo, seen = list(ENTRANCES), set(ENTRANCES)
    while todo:
        name = todo.pop()
        found = _plain(inspect.getattr_static(cls, name, None))
        if isinstance(found, FunctionType):
            if is_of_torch(found):
                continue
            inner = inspect.unwrap(found)
            assert isinstance(inner, FunctionType)
            mentioned = _mentioned_names(inner.__code__)
            todo += sorted(mentioned - seen)
            seen |= mentioned
        yield name, found


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield every tensor that can be reached from a value, once."""
    seen: set[int] = set()
    todo = [value]
    while todo:
        current = todo.pop()
        if id(current) not in seen:
            seen.add(id(current))
            if isinstance(current, Tensor):
                yield current
            todo.extend(held(current))


def is_of_torch(named: Any) -> bool:
    """Return whether PyTorch defines a function or class."""
    return f"{named.__module__}.".startswith("torch.")


def _plain(found: Any) -> Any:
    """Return the function inside a static method, class method or property."""
    if isinstance(found, property):
        return found.fget
    return found.__func__ if isinstance(found, (staticmethod, classmethod)) else found


def _may_hold(value: Any, known: Mapping[str, Any]) -> bool:
    if isinstance(value, FunctionType):
        return value.__globals__ is known
    return isinstance(value, Tensor) or not isinstance(value, LEAVES)


@lru_cache(REMEMBERED)
def _mentioned_names(code: CodeType) -> frozenset[str]:
    """Return all names that a function's code and the functions inside it mention."""
    return frozenset(name for each in _codes(code) for name in each.co_names)


@lru_cache(REMEMBERED)
def _read_globals(code: CodeType) -> frozenset[str]:
    """Return the names among them that are looked up as globals."""
    return frozenset(
        instruction.argval
        for each in _codes(code)
        for instruction in dis.get_instructions(each)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    )


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
