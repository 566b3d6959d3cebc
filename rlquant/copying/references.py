"""What a Python value holds, so that a copy can be followed to everything that it computes with."""

from __future__ import annotations

import dis
import inspect
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ReferenceType

import torch
from torch import Tensor, nn

COMPILED_FROM = "_torchdynamo_orig_callable"
"""Where torch.compile keeps the function that it compiled."""

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

    Of other functions only those of the same file count.
    """
    if is_of_torch(function):
        return {}
    known = function.__globals__
    mentioned = {name for code in _codes(function.__code__) for name in code.co_names}
    found = {n: known[n] for n in mentioned & known.keys() if _may_hold(known[n], known)}
    if not found:
        return {}
    read = {
        instruction.argval
        for code in _codes(function.__code__)
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return {name: value for name, value in found.items() if name in read}


def forward_functions(cls: type[nn.Module]) -> Iterator[FunctionType]:
    """Yield `forward` of a class and the class's functions that it mentions, PyTorch's left out."""
    todo, seen = ["forward"], {"forward"}
    while todo:
        function = _plain(inspect.getattr_static(cls, todo.pop(), None))
        if not isinstance(function, FunctionType) or is_of_torch(function):
            continue
        yield function
        inner = inspect.unwrap(function)
        assert isinstance(inner, FunctionType)
        mentioned = {name for code in _codes(inner.__code__) for name in code.co_names}
        todo += sorted(mentioned - seen)
        seen |= mentioned


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


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
