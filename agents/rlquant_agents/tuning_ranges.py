"""Which settings of a searcher are tuned, and within what."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rlquant.errors import SettingsError, unknown_name
from rlquant_agents.searcher import searcher_class


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers, both ends included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Real:
    """Numbers between two ends; with `log` all orders of magnitude are equally likely."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Any of a few values."""

    options: tuple[Any, ...]


Range = Whole | Real | OneOf
Ranges = Mapping[str, Range]
"""By the name of the setting."""

RANGES: dict[str, Ranges] = {
    "dyna-ppo": {
        "learning_rate": Real(1e-4, 1e-2, log=True),
        "epochs": Whole(1, 6),
        "entropy": Real(1e-4, 1e-1, log=True),
        "optimism": Real(0.0, 3.0),
        "first": Whole(4, 16),
        "batch": Whole(2, 8),
        "rollouts": Whole(0, 4),
        "environments": OneOf((32, 64, 128)),
        "neighbours": OneOf((0, 100, 200, 400)),
        "shaping": OneOf((False, True)),
    },
    "masked-ppo": {
        "learning_rate": Real(1e-4, 1e-2, log=True),
        "episodes": OneOf((4, 8, 16, 32)),
        "epochs": Whole(1, 12),
        "entropy": Real(1e-4, 1e-1, log=True),
        "clip": Real(0.05, 0.4),
        "gae_lambda": Real(0.8, 1.0),
        "hidden": OneOf((32, 64, 128)),
    },
}
"""By the name of the searcher; what each setting does stands in its class."""


def ranges_of(searcher: str, fixed: Collection[str] = ()) -> Ranges:
    """Return what is tuned of a searcher.

    Args:
        searcher: its name.
        fixed: settings that are not to be tuned.

    Raises:
        UnknownNameError: no ranges stand here for that searcher.
        SettingsError: all of its settings are fixed.
    """
    if searcher not in RANGES:
        raise unknown_name("searcher to tune", searcher, RANGES)
    found = {name: of for name, of in RANGES[searcher].items() if name not in fixed}
    if not found:
        raise SettingsError(f"--fixed: nothing of {searcher} is left to tune; fix fewer settings")
    return found


def shipped_settings(searcher: str, ranges: Ranges) -> dict[str, Any]:
    """Return the values that the tuned settings have by default."""
    defaults = {f.name: f.default for f in dataclasses.fields(searcher_class(searcher))}
    return {name: defaults[name] for name in ranges}
