"""A table of every configuration of a problem: losses, accuracies and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy.typing as npt

from rlquant.config import FIDELITIES, Fidelity, LayerChoice
from rlquant.documents.schema import shown
from rlquant.errors import LARGEST_SEED, ChoiceError, SettingsError, whole_number
from rlquant.layers import LayerFacts
from rlquant.problem.protocol import Groups, Problem
from rlquant.score import Score
from rlquant.space import SearchSpace
from rlquant.tabular.measured import MOST_SAMPLES, Measured, Source
from rlquant.tabular.table_costs import TableCosts

MOST_CONFIGURATIONS = 10**7
"""A larger table would not fit in memory several times over."""


def require_count(groups: int, options: int) -> int:
    """Return how many configurations there are; `SettingsError` where no table holds so many."""
    if groups > math.log2(MOST_CONFIGURATIONS) and options > 1:
        count: float = math.inf  # not worth working out
    else:
        count = options**groups
    if count > MOST_CONFIGURATIONS:
        raise SettingsError(
            f"Table: {options} options in {groups} groups are more than {MOST_CONFIGURATIONS:,} "
            f"configurations; make fewer groups, or offer fewer options"
        )
    return int(count)


@dataclass(frozen=True, eq=False)
class Table:
    """Every configuration of a space, measured once; see `TabularProblem` for its use.

    A configuration is a vector of option indices, one a group. Its number counts them like the
    digits of a number, the last group fastest.

    Attributes:
        name: what it is called.
        task: what was quantized, e.g. "digits/cnn".
        command: how it was made.
        fingerprint: of the live problem that was measured.
        groups: group name -> its layers, in execution order; layers of a group share a choice.
        facts: what is known of each group.
        space: the options of every group.
        fidelity, seed: of the live problem.
        float_score: score of the float network.
        costs: of every option of every group.
        samples: validation samples.
        source: the measured values, or the file that holds them.

    Raises:
        SettingsError: parts that do not belong together, more than `MOST_CONFIGURATIONS`.
    """

    name: str
    task: str
    command: str
    fingerprint: str
    groups: Mapping[str, tuple[str, ...]]
    facts: tuple[LayerFacts, ...]
    space: SearchSpace
    fidelity: Fidelity
    seed: int
    float_score: Score
    costs: TableCosts
    samples: int
    source: Source = field(repr=False)

    @classmethod
    def of(
        cls,
        problem: Problem,
        losses: npt.ArrayLike,
        correct: npt.ArrayLike,
        *,
        name: str,
        task: str,
        command: str,
    ) -> Table:
        """Return the table of a problem; costs and facts are read off it, its budget plays no part.

        Args:
            problem: a live problem, or a `GroupedProblem` of one.
            losses: mean validation loss of every configuration, in C order over option indices
                (the last layer's fastest).
            correct: correct answers of every configuration, `round(accuracy * samples)`.
            name: what the table is called.
            task: what was quantized.
            command: how the table was made.

        Raises:
            SettingsError: a number of values that is not that of the configurations, or values
                that cannot be; see `Measured`.
        """
        samples = problem.float_score.samples
        single = {facts.name: (facts.name,) for facts in problem.layers}
        return cls(
            name=name,
            task=task,
            command=command,
            fingerprint=problem.fingerprint,
            groups=problem.groups if isinstance(problem, Groups) else single,
            facts=problem.layers,
            space=problem.space,
            fidelity=problem.fidelity,
            seed=problem.seed,
            float_score=problem.float_score,
            costs=TableCosts.of(problem),
            samples=samples,
            source=Measured(losses, correct, samples),  # type: ignore[arg-type]  # checked there
        )

    def __post_init__(self) -> None:
        for name in ("name", "task", "command", "fingerprint"):
            if not isinstance(getattr(self, name), str):
                raise SettingsError(f"Table: {name}={getattr(self, name)!r}, give a string")
        if self.fidelity not in FIDELITIES:
            raise SettingsError(f"Table: fidelity={self.fidelity!r} is not one of {FIDELITIES}")
        object.__setattr__(self, "seed", whole_number("Table: seed", self.seed, 0, LARGEST_SEED))
        whole_number("Table: samples", self.samples, 1, MOST_SAMPLES)
        if self.space.override or self.space.tie:
            raise SettingsError(
                "Table: its groups have all options; give a space without override and tie"
            )
        groups = {name: tuple(layers) for name, layers in self.groups.items()}
        object.__setattr__(self, "groups", groups)
        self._require_one_shape()
        if isinstance(self.source, Measured):
            self._require_count(self.source)

    def _require_one_shape(self) -> None:
        names = [facts.name for facts in self.facts]
        if not names or list(self.groups) != names:
            raise SettingsError(f"Table: groups {list(self.groups)} have the facts of {names}")
        expected = (len(names), len(self.options))
        if self.costs.shape != expected:
            raise SettingsError(
                f"Table: costs of shape {self.costs.shape} for {expected[0]} groups with "
                f"{expected[1]} options"
            )
        require_count(*expected)

    def _require_count(self, measured: Measured) -> Measured:
        found = len(measured.losses), measured.samples
        if found != (self.count, self.samples):
            raise SettingsError(
                f"Table: values of {found[0]} configurations on {found[1]} samples, expected "
                f"{self.count} on {self.samples}"
            )
        return measured

    @cached_property
    def options(self) -> tuple[LayerChoice, ...]:
        """The options of every group, layer names empty."""
        return self.space.options(self.fidelity)

    @property
    def count(self) -> int:
        """The number of configurations."""
        return int(len(self.options) ** len(self.facts))

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """How far one option more of each group moves a configuration's number."""
        places = reversed(range(len(self.facts)))
        return tuple(len(self.options) ** place for place in places)

    @cached_property
    def measured(self) -> Measured:
        """Loss and correct answers of every configuration; a file is read on first use.

        Raises:
            FileFormatError: the file is damaged.
        """
        return self._require_count(self.source.read())

    def index_of(self, indices: Sequence[int]) -> int:
        """Return the number of a configuration; `ChoiceError` for indices that are not there."""
        options = len(self.options)
        number = 0
        try:
            for option in indices:
                if not 0 <= option < options:
                    break
                number = number * options + option
            else:
                if len(indices) == len(self.facts):
                    return int(number)
        except (TypeError, ValueError, RuntimeError) as error:  # no indices, or of no numbers
            raise self._no_indices(indices) from error
        raise self._no_indices(indices)

    def _no_indices(self, indices: Any) -> ChoiceError:
        return ChoiceError(
            f"option indices {shown(indices)}: give {len(self.facts)} of 0..{len(self.options) - 1}"
        )

    def indices_of(self, number: int) -> tuple[int, ...]:
        """Return the option indices of a configuration's number; `ChoiceError` outside."""
        if not 0 <= number < self.count:
            raise ChoiceError(f"configuration {number}: the table holds 0..{self.count - 1}")
        return tuple(number // stride % len(self.options) for stride in self.strides)

    def __deepcopy__(self, memo: dict[int, Any]) -> Table:
        """Return itself: it never changes, and `gymnasium.make` deep-copies its keywords."""
        return self
