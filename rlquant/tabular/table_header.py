"""The JSON header of a table's file, validated as untrusted input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, TypedDict

import numpy as np

from rlquant.config import Fidelity
from rlquant.documents import Range, parse_json, read_as, shown
from rlquant.errors import FileFormatError, RlquantError
from rlquant.layers import ERROR_BITS, LayerFacts
from rlquant.score import Score
from rlquant.space import SearchSpace
from rlquant.tabular.measured import Source
from rlquant.tabular.table import Table, require_count
from rlquant.tabular.table_costs import MOST_UNITS, TableCosts
from rlquant.weight_sites import LAYER_KINDS

FORMAT = "rlquant table"
VERSION = 2

_ARRAYS = ("average_bits", "size_bytes", "bops")
_NUMBERS = ("weights", "float_bytes", "fixed_bits", "fixed_bytes", "fixed_bops")
_TEXTS = ("name", "task", "command", "fingerprint", "fidelity")
_MEASURED = ("loss", "accuracy", "average_bits", "size_ratio", "size_bytes", "bops", "samples")


def write_header(table: Table) -> str:
    """Return everything about a table but its measured values."""
    costs: dict[str, Any] = {name: getattr(table.costs, name).tolist() for name in _ARRAYS}
    measured = json.loads(table.float_score.to_json())  # what is not finite is null there
    document = {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(table, name) for name in _TEXTS},
        "seed": table.seed,
        "samples": table.samples,
        "configurations": table.count,
        "groups": [[name, list(layers)] for name, layers in table.groups.items()],
        "space": {k: v for k, v in asdict(table.space).items() if k != "tie"},
        "float_score": {name: measured[name] for name in _MEASURED},
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
        document = parse_json(text.decode())
    except UnicodeDecodeError as error:
        raise FileFormatError("its header is no text") from error
    except FileFormatError as error:
        raise FileFormatError(f"its header is damaged: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileFormatError("its header is not that of a table (.rlt)")
    if document.get("version") != VERSION:
        raise FileFormatError(
            f"it is of format version {shown(document.get('version'))}, this rlquant reads version "
            f"{VERSION}; use the rlquant that wrote it, or a newer one"
        )
    try:
        header = read_as(_Header, document)
        table = _table(header, source)
    except RlquantError as error:
        raise FileFormatError(f"its header is damaged: {error}") from error
    if header["configurations"] != table.count:
        raise FileFormatError(
            f"its header says {header['configurations']} configurations, its groups and "
            f"options make {table.count}"
        )
    return table


Units = Annotated[int, Range(0, MOST_UNITS)]


@dataclass(frozen=True, slots=True)
class _Costs:
    """The costs of all options of all groups, and what every configuration pays."""

    average_bits: list[list[Units]]
    size_bytes: list[list[Units]]
    bops: list[list[Units]]
    weights: Units
    float_bytes: Units
    fixed_bits: Units
    fixed_bytes: Units
    fixed_bops: Units

    def table_costs(self) -> TableCosts:
        """Return them as a table holds them; `FileFormatError` for rows of different lengths."""
        values = {name: getattr(self, name) for name in (*_ARRAYS, *_NUMBERS)}
        for name in _ARRAYS:
            if len({len(row) for row in values[name]}) > 1:
                raise FileFormatError(f"costs.{name} has rows of different lengths")
            values[name] = np.array(values[name], np.int64)
        return TableCosts(**values)


class _Header(TypedDict):
    """What is read of a header."""

    name: str
    task: str
    command: str
    fingerprint: str
    fidelity: Fidelity
    seed: int
    samples: int
    configurations: int
    groups: list[tuple[str, tuple[str, ...]]]
    space: SearchSpace
    float_score: Score
    costs: _Costs
    facts: tuple[LayerFacts, ...]


def _table(header: _Header, source: Callable[[int, int], Source]) -> Table:
    facts, fidelity = header["facts"], header["fidelity"]
    for one in facts:
        _require_possible(one)
    if not math.isfinite(header["float_score"].loss):
        raise FileFormatError("float_score: the loss is not finite")
    groups = dict(header["groups"])
    if len(groups) != len(header["groups"]):
        raise FileFormatError("two groups of one name")
    count = require_count(len(facts), len(header["space"].options(fidelity)))
    return Table(
        name=header["name"],
        task=header["task"],
        command=header["command"],
        fingerprint=header["fingerprint"],
        fidelity=fidelity,
        seed=header["seed"],
        samples=header["samples"],
        groups=groups,
        space=header["space"],
        float_score=replace(header["float_score"], fidelity=fidelity),
        costs=header["costs"].table_costs(),
        facts=facts,
        source=source(count, header["samples"]),
    )


def _require_possible(facts: LayerFacts) -> None:
    """Raise `FileFormatError` for facts that no layer has, so that nothing fails on them later."""
    if (
        facts.kind not in LAYER_KINDS
        or not 0 <= facts.channel_axis < len(facts.shape)
        or min(facts.shape) < 1
        or len(facts.relative_error) != len(ERROR_BITS)
        or facts.parameters < 1
        or facts.macs < 0
    ):
        raise FileFormatError(f"group {facts.name!r} has impossible facts")
