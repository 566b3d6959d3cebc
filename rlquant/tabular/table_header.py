"""What a table's file says beside the measured values: written as JSON, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from rlquant.errors import FileFormatError, RlquantError
from rlquant.layers import ERROR_BITS, KINDS, LayerFacts
from rlquant.score import Score
from rlquant.space import SearchSpace
from rlquant.tabular.measured import Source
from rlquant.tabular.table import Table, require_count
from rlquant.tabular.table_costs import TableCosts

FORMAT = "rlquant table"
VERSION = 1

_ARRAYS = ("average_bits", "size_bytes", "bops")
_NUMBERS = ("weights", "float_bytes", "fixed_bits", "fixed_bytes", "fixed_bops")
_TEXTS = ("name", "task", "command", "fingerprint", "fidelity")
_COUNTED = ("shape", "relative_error")
_MEASURED = ("loss", "accuracy", "average_bits", "size_ratio", "size_bytes", "bops", "samples")


def write_header(table: Table) -> str:
    """Return everything about a table but its measured values."""
    costs: dict[str, Any] = {name: getattr(table.costs, name).tolist() for name in _ARRAYS}
    document = {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(table, name) for name in _TEXTS},
        "seed": table.seed,
        "samples": table.samples,
        "configurations": table.count,
        "groups": [[name, list(layers)] for name, layers in table.groups.items()],
        "space": asdict(table.space),
        "float_score": {name: getattr(table.float_score, name) for name in _MEASURED},
        "costs": costs | {name: getattr(table.costs, name) for name in _NUMBERS},
        "facts": [asdict(facts) for facts in table.facts],
    }
    return json.dumps(document, indent=1) + "\n"


def read_header(text: bytes, source: Callable[[int, int], Source]) -> Table:
    """Return the table that a header describes.

    Args:
        text: what `write_header` wrote.
        source: makes the source of the values out of the numbers of configurations and samples.

    Raises:
        FileFormatError: not such a header, one of another version, or one that contradicts itself.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"its header is not JSON ({error})") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileFormatError("its header is not that of a table (.rlt)")
    if document.get("version") != VERSION:
        raise FileFormatError(
            f"it is of format version {document.get('version')!r}, this rlquant reads version "
            f"{VERSION}; use the rlquant that wrote it, or a newer one"
        )
    try:
        table = _table(document, source)
    except (KeyError, TypeError, ValueError, OverflowError, RlquantError) as error:
        raise FileFormatError(f"its header is damaged: {error}") from error
    if document.get("configurations") != table.count:
        raise FileFormatError(
            f"its header says {document.get('configurations')!r} configurations, its groups and "
            f"options make {table.count}"
        )
    return table


def _table(document: dict[str, Any], source: Callable[[int, int], Source]) -> Table:
    space, facts = SearchSpace(**document["space"]), [_facts(f) for f in document["facts"]]
    count = require_count(len(facts), len(space.options(document["fidelity"])))
    costs = document["costs"]
    arrays = {name: _whole_numbers(costs[name]) for name in _ARRAYS}
    groups = [(_text(name), tuple(map(_text, layers))) for name, layers in document["groups"]]
    if len(dict(groups)) != len(groups):
        raise ValueError("two groups of one name")
    return Table(
        **{name: document[name] for name in _TEXTS},
        seed=document["seed"],
        samples=document["samples"],
        groups=dict(groups),
        space=space,
        float_score=_score(document["float_score"], document["fidelity"]),
        costs=TableCosts(**arrays, **{name: costs[name] for name in _NUMBERS}),
        facts=tuple(facts),
        source=source(count, document["samples"]),
    )


def _whole_numbers(rows: Any) -> Any:
    """Return rows of whole numbers as an array; numbers with a point do not pass for them."""
    values = np.array(rows)
    return values if values.dtype == np.int64 else values.astype(object)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value


def _score(document: Any, fidelity: Any) -> Score:
    score = Score(**{name: document[name] for name in _MEASURED}, fidelity=fidelity)
    for name in _MEASURED:
        _require(score, name, int if name in ("size_bytes", "bops", "samples") else float)
    return score


def _facts(document: dict[str, Any]) -> LayerFacts:
    """Return facts whose numbers are numbers, so that nothing fails on them later."""
    values: dict[str, Any] = {k: tuple(v) if k in _COUNTED else v for k, v in document.items()}
    facts = LayerFacts(**values)
    kinds = {"str": str, "int": int, "float": float, "bool": bool}
    for field in fields(facts):
        if field.name not in _COUNTED:
            _require(facts, field.name, kinds[str(field.type)])
    axes = [n for n in facts.shape if type(n) is int and n > 0]
    errors = [e for e in facts.relative_error if type(e) in (int, float)]
    if (
        facts.kind not in KINDS.values()
        or not 0 <= facts.channel_axis < len(axes) == len(facts.shape)
        or not len(errors) == len(facts.relative_error) == len(ERROR_BITS)
        or facts.parameters < 1
        or facts.macs < 0
    ):
        raise ValueError(f"group {facts.name!r} has impossible facts")
    return facts


def _require(owner: Score | LayerFacts, name: str, kind: type) -> None:
    """Raise unless a field is of its type; whole numbers pass for others."""
    value = getattr(owner, name)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise TypeError(f"{name}={value!r} is no {kind.__name__}")
