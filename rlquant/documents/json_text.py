"""Parsing of untrusted JSON within bounds, into plain data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlquant.documents.files import MOST_TEXT_BYTES, read_text
from rlquant.errors import FileFormatError

MOST_DEPTH = 32
"""Lists and objects inside each other; ours have fewer than ten."""
MOST_VALUES = 2**19
"""Numbers, texts, lists and objects together; their memory is many times that of the text."""
MOST_DIGITS = 300
"""Of a whole number, so that it is one as a float too."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: str | Path, most: int = MOST_TEXT_BYTES) -> Any:
    """Return what a JSON file holds.

    Args:
        path: a regular file in UTF-8.
        most: bytes that it may have.

    Raises:
        FileFormatError: see `read_text` and `parse_json`.
        OSError: there is no such file, or it cannot be read.
    """
    return parse_json(read_text(path, most))


def parse_json(text: str) -> Any:
    """Return what JSON holds: every number finite, every text Unicode, every key there once.

    Raises:
        FileFormatError: no JSON in the strict sense (NaN and Infinity are none), a key given
            twice, a number too large for a float, half a surrogate pair, more than `MOST_VALUES`
            values, or lists and objects in each other more than `MOST_DEPTH` deep.
    """
    if sum(map(text.count, "[{,")) > MOST_VALUES:
        raise FileFormatError(f"it holds more than {MOST_VALUES:,} values")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError as error:
        raise FileFormatError(_TOO_DEEP) from error
    except UnicodeEncodeError as error:
        raise FileFormatError("its text holds half a surrogate pair") from error
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"it is not JSON ({error})") from error
    _require_shallow(document)
    return document


_TOO_DEEP = f"its lists and objects are more than {MOST_DEPTH} deep in each other"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice[:80]!r} stands there twice")
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a whole number has {len(text):,} digits, use at most {MOST_DIGITS}")
    return int(text)


def _require_shallow(document: Any) -> None:
    """Raise `FileFormatError` where later steps, which recurse, might run out of stack."""
    level = [document]
    for _ in range(MOST_DEPTH):
        level = [inner for outer in level for inner in _values(outer) if type(inner) in _NESTING]
    if level:
        raise FileFormatError(_TOO_DEEP)


_NESTING = (list, dict)


def _values(value: Any) -> Iterable[Any]:
    if type(value) is dict:
        return value.values()
    return value if type(value) is list else ()
