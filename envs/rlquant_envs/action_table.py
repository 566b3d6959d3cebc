"""A table of actions: the choice behind every action, computed once for a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Space

from rlquant import LayerChoice, SearchSpace
from rlquant.config import Fidelity
from rlquant.documents.schema import shown
from rlquant.errors import SettingsError

Action = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ActionTable:
    """What every action of a layer means, worked out once.

    Attributes:
        weights: shape `(heads,)`: an action's number is their dot product.
        options: by action number, the canonical option; for illegal combinations the nearest.
        legal: by action number, whether the combination exists.
        contains: shape `(flat mask, options)`: whether some legal action with that head's option
            is that canonical option.
        action_of: by canonical option, the first action that stands for it, shape
            `(options, heads)`.
        number_of: the number of every action in the action space, by the action as a tuple.
    """

    weights: npt.NDArray[np.int64]
    options: npt.NDArray[np.int64]
    legal: npt.NDArray[np.bool_]
    contains: npt.NDArray[np.bool_]
    action_of: npt.NDArray[np.int64]
    number_of: Mapping[tuple[int, ...], int]

    @classmethod
    def of(cls, space: SearchSpace, fidelity: Fidelity) -> ActionTable:
        """Work out the table of a space."""
        sizes = [len(head.options) for head in space.heads]
        weights = np.array([int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))])
        option = space.option_of_action(fidelity)
        legal = option >= 0
        first = [int(np.flatnonzero(option == o)[0]) for o in range(option.max() + 1)]
        widths = np.array([o.arithmetic_bits for o in space.options(fidelity)])[option]
        for number in np.flatnonzero(~legal):
            option[number] = option[_nearest_legal(space, widths, legal, int(number))]
        starts = np.cumsum([0, *sizes])
        contains = np.zeros((starts[-1], option.max() + 1), dtype=np.bool_)
        for number in np.flatnonzero(legal):
            contains[starts[:-1] + space.actions[number], option[number]] = True
        number_of = {tuple(action): i for i, action in enumerate(space.actions.tolist())}
        return cls(weights, option, legal, contains, space.actions[first], number_of)

    def mask(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the flat mask, head after head, for what options are allowed."""
        mask: npt.NDArray[np.bool_] = np.any(self.contains & allowed, axis=1)
        return mask


def whole_numbers(action: Any, space: Space[Any]) -> Action:
    """Return what is given as an action as an array; `SettingsError` for what is no numbers."""
    try:
        return np.asarray(action, dtype=np.int64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise SettingsError(f"action {shown(action)} is outside {space}: use numbers") from error


def _nearest_legal(
    space: SearchSpace, widths: npt.NDArray[np.int64], legal: npt.NDArray[np.bool_], number: int
) -> int:
    """Return the legal action nearest in executed bits, then in most other decisions."""
    wanted = space.actions[number]
    fields = {"bits": space.bits[0], "method": space.method[0]}
    for head, index in zip(space.heads, wanted, strict=True):
        if head.name in fields:
            fields[head.name] = head.options[index]
    width = LayerChoice("", **fields).arithmetic_bits  # type: ignore[arg-type]
    differs = (space.actions != wanted).sum(axis=1)
    return int(np.lexsort((differs, np.abs(widths - width), ~legal))[0])
