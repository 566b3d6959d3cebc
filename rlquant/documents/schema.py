"""Validation of documents against the types of a dataclass.

    @dataclass(frozen=True)
    class Agent:
        hidden: Annotated[int, Range(1, 4096)]
        tasks: list[str]

    agent = read_as(Agent, parse_json(text))

A dataclass takes exactly its fields, a `TypedDict` others beside them. A class with a constructor
`from_document` reads itself.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from rlquant.errors import FileFormatError, RlquantError

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """What a number must lie in, as metadata of `Annotated`; both ends belong to it."""

    least: float
    most: float = float("inf")


Count = Annotated[int, Range(0)]
"""A whole number of at least 0."""


def read_as(kind: type[Value], document: Any, place: str = "") -> Value:
    """Return a document as a value of a type.

    Args:
        kind: str, int, float, bool, Path, a `Literal`, list, tuple, dict or union of such,
            `Annotated` with a `Range`, a dataclass, a `TypedDict` or a class with `from_document`.
            Whole numbers pass for floats, nothing else passes for another type.
        document: what a parser of JSON returned.
        place: where it stands, for errors.

    Raises:
        FileFormatError: the field that is wrong, its value and what is allowed.
    """
    value: Value = _read(kind, document, place)
    return value


def read_fields(kind: type[Value], document: Any, place: str = "") -> Value:
    """Return a dataclass out of an object with its fields; as `read_as`, `from_document` aside."""
    found = read_given(kind, document, place)
    needed = [f.name for f in _fields(kind) if has_no_default(f)]
    _require_there(found, needed, place)
    try:
        return kind(**found)
    except FileFormatError:
        raise
    except RlquantError as error:
        raise FileFormatError(f"{place}: {error}" if place else str(error)) from error


def read_given(kind: Any, document: Any, place: str = "") -> dict[str, Any]:
    """Return the fields of a dataclass that an object gives, by name; none has to be there."""
    values, hints = _object(document, place), _hints(kind)
    _require_known(values, [field.name for field in _fields(kind)], place)
    return {name: _read(hints[name], value, _at(place, name)) for name, value in values.items()}


def has_no_default(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field of a dataclass has to be given."""
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def shown(value: Any) -> str:
    """Return what a message shows of a value: all of it if it is short."""
    try:
        text = " ".join(_SHORT.repr(value).split())
    except ValueError:  # Python writes no number of more than some thousand digits
        return f"a {type(value).__name__} too long to write"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


MOST_SHOWN = 120
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def _read(kind: Any, value: Any, place: str) -> Any:
    if kind in _PLAIN:
        return _plain(kind, value, place)
    read = _READERS.get(get_origin(kind))
    if read is not None:
        return read(get_args(kind), value, place)
    if kind is Path:
        return Path(_plain(str, value, place))
    if hasattr(kind, "from_document"):
        return _from_document(kind, value, place)
    return _typed(kind, value, place) if is_typeddict(kind) else read_fields(kind, value, place)


_PLAIN: Mapping[Any, str] = {
    Any: "anything",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    NoneType: "null",
}
"""Types that are read as they are, and their words in messages."""


def _plain(kind: Any, value: Any, place: str) -> Any:
    if kind is Any or type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise _wrong(value, _PLAIN[kind], place)


def _annotated(arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    kind, *limits = arguments
    found = _read(kind, value, place)
    for limit in limits:
        if isinstance(limit, Range) and not limit.least <= found <= limit.most:
            upper = "" if limit.most == float("inf") else f" and at most {limit.most}"
            raise _wrong(value, f"at least {limit.least}{upper}", place)
    return found


def _literal(arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    if any(type(value) is type(allowed) and value == allowed for allowed in arguments):
        return value
    raise _wrong(value, f"one of {', '.join(map(repr, arguments))}", place)


def _union(arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and NoneType in arguments:
        return None
    kinds = [kind for kind in arguments if kind is not NoneType]
    for kind in kinds[:-1]:
        try:
            return _read(kind, value, place)
        except FileFormatError:
            continue
    return _read(kinds[-1], value, place)


def _list(arguments: tuple[Any, ...], value: Any, place: str) -> list[Any]:
    if type(value) not in (list, tuple):
        raise _wrong(value, "a list", place)
    return [_read(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value)]


def _tuple(arguments: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if arguments[-1] is Ellipsis:
        return tuple(_list(arguments, value, place))
    if type(value) not in (list, tuple) or len(value) != len(arguments):
        raise _wrong(value, f"a list of {len(arguments)}", place)
    both = zip(arguments, value, strict=True)
    return tuple(_read(kind, item, f"{place}[{i}]") for i, (kind, item) in enumerate(both))


def _mapping(arguments: tuple[Any, ...], value: Any, place: str) -> dict[str, Any]:
    found = _object(value, place)
    return {name: _read(arguments[1], item, _at(place, name)) for name, item in found.items()}


_READERS: Mapping[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _union,
    UnionType: _union,
    list: _list,
    tuple: _tuple,
    dict: _mapping,
    Mapping: _mapping,
}


def _typed(kind: Any, value: Any, place: str) -> dict[str, Any]:
    values, hints = _object(value, place), _hints(kind)
    _require_there(values, hints, place)
    read = {name: _read(hint, values[name], _at(place, name)) for name, hint in hints.items()}
    return {**values, **read}


def _from_document(kind: Any, value: Any, place: str) -> Any:
    try:
        return kind.from_document(value)
    except RlquantError as error:
        raise FileFormatError(f"{place}: {error}" if place else str(error)) from error


def _require_known(values: Iterable[str], known: Collection[str], place: str) -> None:
    for name in values:
        if name not in known:
            near = " or ".join(map(repr, get_close_matches(name, known)))
            hint = f"did you mean {near}? " if near else ""
            raise FileFormatError(f"{_at(place, name)} is unknown; {hint}known: {', '.join(known)}")


def _require_there(values: Collection[str], needed: Iterable[str], place: str) -> None:
    for name in needed:
        if name not in values:
            raise FileFormatError(f"{_at(place, name)} is missing")


def _fields(kind: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if field.init]


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _object(value: Any, place: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise _wrong(value, "an object", place)
    return value


def _at(place: str, name: str) -> str:
    return f"{place}.{name[:80]}" if place else name[:80]


def _wrong(value: Any, allowed: str, place: str) -> FileFormatError:
    return FileFormatError(f"{place or 'it'} is {shown(value)}, use {allowed}")
