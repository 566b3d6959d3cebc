"""Functions as objectives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rlquant.errors import SettingsError
from rlquant.objective.classification import Classification
from rlquant.objective.protocols import Objective

ObjectiveFunction = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
"""What an objective does at the least: outputs and targets in, summed loss and metric out."""


@dataclass(frozen=True, slots=True)
class FunctionObjective:
    """A function as an objective: named after itself, with no check of its own."""

    function: ObjectiveFunction

    @property
    def name(self) -> str:
        """The function's own name, or that of its class."""
        named = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return str(getattr(self.function, "name", named))

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the function returns."""
        return self.function(outputs, targets)

    def check(self, outputs: Any, targets: Any) -> None:
        """Let everything through, unless the function has a check."""
        check = getattr(self.function, "check", None)
        if check is not None:
            check(outputs, targets)


def as_objective(objective: Objective | ObjectiveFunction | None) -> Objective:
    """Return an objective, `Classification` for None; a callable without name or check gets both.

    Raises:
        SettingsError: `objective` cannot be called with outputs and targets.
    """
    if objective is None:
        return Classification()
    if isinstance(objective, type) or not callable(objective):
        raise SettingsError(
            f"objective={objective!r}, give a function (outputs, targets) -> (summed loss, summed "
            f"metric) or an object that is called like one, such as Classification()"
        )
    return objective if isinstance(objective, Objective) else FunctionObjective(objective)
