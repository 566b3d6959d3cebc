"""Arguments of public calls: one clear error where their types are not what the annotations say.

A call is not checked beforehand, so that whatever works goes on working and costs nothing. Where it
fails with an error that is not ours, its arguments are held against the annotations, and the first
that does not fit is named. An error that no argument's type explains is left as it is.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import partial, wraps
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import numpy as np

from rlquant.documents.schema import shown
from rlquant.errors import ArgumentError, RlquantError

P = ParamSpec("P")
R = TypeVar("R")


@overload
def explained(function: Callable[P, R]) -> Callable[P, R]: ...
@overload
def explained(*, elsewhere: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def explained(
    function: Callable[P, R] | None = None, *, elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Any:
    """Have a public call say which argument is of a wrong type, where it fails because of one.

    An argument that it does not have is named with the settings that have it, or a near name. Of a
    dataclass, `__post_init__` is decorated, and its fields are meant.

    Args:
        function: the call.
        elsewhere: what to do in place of giving an argument that it does not have, with {} for it.

    Raises:
        ArgumentError: in place of an error that is not of rlquant.
    """
    if function is None:
        return partial(_explained, elsewhere=elsewhere)
    return _explained(function, elsewhere)


def _explained(function: Callable[P, R], elsewhere: Mapping[str, str]) -> Callable[P, R]:
    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # whatever a wrong type leads to, anywhere inside
            # Of calls within calls the outermost explains: its names are those that the user wrote.
            ours = isinstance(error, RlquantError) and not isinstance(error, ArgumentError)
            told = None if ours else _explanation(function, args, kwargs, elsewhere)
            if told is None:
                raise
            raise ArgumentError(told) from error

    return call


def _explanation(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    elsewhere: Mapping[str, str],
) -> str | None:
    """Return what is wrong with the first argument that does not fit, None where all do."""
    if function.__name__ == "__post_init__":
        owner, name = type(args[0]), type(args[0]).__name__
        hints, written = get_type_hints(owner, include_extras=True), owner.__annotations__
        given = {field: getattr(args[0], field) for field in written if hasattr(args[0], field)}
    else:
        name = function.__qualname__.removesuffix(".__init__")
        try:
            given = inspect.signature(function).bind(*args, **kwargs).arguments
        except TypeError:  # too many, too few, or names that it has not
            return _unknown_argument(function, name, kwargs, elsewhere)
        given = {**given, **kwargs}  # what **settings collects under its own names
        hints, written = get_type_hints(function, include_extras=True), function.__annotations__
    for argument, value in given.items():
        note = _note(value)
        if note or (argument in hints and not fits(hints[argument], value)):
            return (
                f"{name}: {argument}={shown(value)}, use {written.get(argument, 'a number')}{note}"
            )
    return None


def _unknown_argument(
    function: Callable[..., Any], name: str, kwargs: Mapping[str, Any], elsewhere: Mapping[str, str]
) -> str | None:
    """Return who takes the first argument that a call does not have, None where it has all."""
    known = [word for word in inspect.signature(function).parameters if word != "self"]
    unknown = next((argument for argument in kwargs if argument not in known), None)
    if unknown is None:
        return None
    # Python's own words, which TorchRL looks for where it leaves out what an environment has not
    said = f"{name} got an unexpected keyword argument {unknown!r}"
    if unknown in elsewhere:
        return f"{said}: {elsewhere[unknown].format(unknown)}"
    for argument, hint in get_type_hints(function).items():
        for kind in (hint, *get_args(hint)):
            is_settings = isinstance(kind, type) and is_dataclass(kind)
            if argument in known and is_settings and _has_field(kind, unknown):
                value = f"{kind.__name__}({unknown}={shown(kwargs[unknown])})"
                return f"{said}, it is one of its settings: give {argument}={value}"
    near = get_close_matches(unknown, known, n=1)
    return f"{said}; did you mean {near[0]!r}?" if near else f"{said}; it has {known}"


def _has_field(kind: Any, name: str) -> bool:
    return name in [field.name for field in fields(kind) if field.init]


def _note(value: Any) -> str:
    return " of at most 64 bits" if type(value) is int and not _is_moderate(value) else ""


def fits(kind: Any, value: Any) -> bool:
    """Return whether a value is of an annotated type; numbers and sequences of any kind pass.

    What can be gone through once only is not looked into.
    """
    if kind is Any or isinstance(kind, (TypeVar, str)):
        return True
    if kind in _SIMPLE:
        return _SIMPLE[kind](value)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is None:
        return _of_class(kind, value)
    if origin in (Union, UnionType):
        return any(fits(each, value) for each in inner)
    if origin is Annotated:
        return fits(inner[0], value)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in inner)
    if origin is tuple:
        return _tuple_fits(inner, value)
    if origin is Callable:
        return callable(value)
    if not isinstance(origin, type) or not isinstance(value, origin):
        return False
    if isinstance(value, (str, bytes)) or not _iterates(value):
        return False  # text is a sequence as well, but meant as one value
    return all(fits(part, each) for part, each in _parts(origin, inner, value))


_SIMPLE: Mapping[Any, Callable[[Any], bool]] = {
    None: lambda value: value is None,
    type(None): lambda value: value is None,
    bool: lambda value: isinstance(value, (bool, np.bool_)),
    int: lambda value: isinstance(value, Integral) and _is_moderate(value),
    float: lambda value: isinstance(value, Real) and _is_moderate(value),
    str: lambda value: isinstance(value, str) and "\0" not in value and _encodes(value),
    Path: lambda value: isinstance(value, os.PathLike) and "\0" not in os.fspath(value),
}


def _is_moderate(value: Any) -> bool:
    """Return whether a number can be handed on: PyTorch and NumPy take whole ones of 64 bits."""
    return not isinstance(value, bool) and (type(value) is not int or value.bit_length() < 64)


def _encodes(value: str) -> bool:
    """Return whether a text can be written: half a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _iterates(value: Any) -> bool:
    """Return whether a container can be gone through; a tensor of no dimension says so late."""
    try:
        iter(value)
    except TypeError:
        return not hasattr(value, "__iter__")
    return True


def _of_class(kind: Any, value: Any) -> bool:
    """Return whether a value is of a class, or has what a protocol asks."""
    if not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        asked = {name for base in kind.__mro__[:-2] for name in vars(base)}
        asked |= {name for base in kind.__mro__[:-2] for name in base.__annotations__}
        public = {name for name in asked if not name.startswith("_") or name == "__call__"}
        return all(hasattr(value, name) for name in public)
    return isinstance(value, kind)


def _tuple_fits(inner: Sequence[Any], value: Any) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return False
    if len(inner) == 2 and inner[1] is Ellipsis:
        return all(fits(inner[0], each) for each in value)
    return len(inner) == len(value) and all(map(fits, inner, value))


def _parts(origin: type, inner: Sequence[Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the contents of a container, each with the type that it must be of."""
    if issubclass(origin, Mapping):
        for key, each in value.items():
            yield inner[0], key
            yield inner[1], each
    elif issubclass(origin, Sequence):
        for each in value:
            yield inner[0], each
