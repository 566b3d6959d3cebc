"""Reference results: scores, configurations and file sizes of fixed searches, in neutral names.

What is recorded at two commits can be compared although options were renamed between them: every
name is written as `NEUTRAL` has it, and what has its default is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

NEUTRAL = {
    "method": {"keep": "float"},
    "points": {"uniform": "affine"},
    "rounding": {"error_feedback": "gptq"},
}
"""By field of a layer's choice, names of the first edition and what they are called since."""
DEFAULTS: dict[str, Any] = {"group_size": "channel", "activation_bits": None}
DECIDED = {"float": (), "ternary": ("activation_bits",)}
"""By method, the fields that mean something beside it; all of them under the other methods."""

Layers = dict[str, dict[str, Any]]
"""By layer, its choice in neutral names."""


def neutral_layers(document: Mapping[str, Any]) -> Layers:
    """Return the layers of a configuration.

    Args:
        document: what the JSON of a `QuantizationConfig` holds, of this or an earlier version.
    """
    return {choice["layer"]: _neutral_choice(choice) for choice in document["layers"]}


def _neutral_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    fields = {k: NEUTRAL.get(k, {}).get(v, v) for k, v in choice.items() if k != "layer"}
    method = fields["method"]
    kept = DECIDED.get(method, tuple(fields))
    decided = {name: fields[name] for name in kept if name in fields}
    return {"method": method} | {
        name: value for name, value in decided.items() if DEFAULTS.get(name, ...) != value
    }


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Yield what differs between two results, a line for each place.

    Args:
        old: results, as JSON has them.
        new: others.
        where: the place of both, as text before each line.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            place = f"{where} / {key}" if where else key
            if key not in old or key not in new:
                yield f"{place}: only in the {'second' if key in new else 'first'}"
            else:
                yield from differences(old[key], new[key], place)
    elif not _equal(old, new):
        yield f"{where}: {json.dumps(old)} became {json.dumps(new)}"


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_equal, old, new))
    both_nan = all(isinstance(value, float) and math.isnan(value) for value in (old, new))
    return both_nan or bool(old == new)
