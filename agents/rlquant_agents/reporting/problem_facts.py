"""Problem facts of a report: layers, options and their exact costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from rlquant import (
    FeasibleSet,
    LayerChoice,
    LayerFacts,
    Problem,
    QuantizationConfig,
    Score,
)
from rlquant.counted import counted
from rlquant.documents import Count, read_as, read_fields
from rlquant.errors import FileFormatError
from rlquant.problem.protocol import Complete, Live
from rlquant.space import for_layer
from rlquant.tabular.table_costs import NO_LIMIT
from rlquant_agents.reporting.file_parts import FileParts
from rlquant_agents.search.result import SearchResult

FACTS_VERSION = 1


@dataclass(frozen=True, slots=True)
class Costs:
    """What every option of every layer costs, in whole units.

    Attributes:
        fixed: what every configuration pays.
        units: by layer and option.
    """

    fixed: Count
    units: tuple[tuple[Count, ...], ...]

    @classmethod
    def of(cls, feasible: FeasibleSet) -> Costs:
        """Read them off the feasible set of a budget."""
        return cls(int(feasible.cost.fixed), tuple(map(tuple, feasible.layer_costs.tolist())))

    def require_shape(self, layers: int, options: int) -> None:
        """Raise `FileFormatError` unless they are of so many layers and options."""
        if len(self.units) != layers or any(len(row) != options for row in self.units):
            raise FileFormatError(
                f"its costs are not of {counted(layers, 'layer')} and {counted(options, 'option')}"
            )

    def total(self, chosen: Sequence[int]) -> int:
        """Return the units of a vector of option indices."""
        return self.fixed + sum(row[i] for row, i in zip(self.units, chosen, strict=True))


@dataclass(frozen=True, slots=True)
class ProblemFacts:
    """The problem of a search, as far as its report tells of it.

    Attributes:
        layers: the searched layers in execution order.
        options: what each layer may be, layer names empty.
        cost: of what the budget limits.
        limit: the budget in its units.
        unit: the size of one unit, in what budgets are given in.
        size: bytes in the packed file; None where the problem's bytes do not add up over layers.
        uniform: the best same choice for all layers that keeps the budget, and its score.
        parts: the delivered file's bytes; None where there is no file.
        name: what was searched: a network's class, a table, or the problem's own.
        network: class of the network with its module; None where there is none.
    """

    layers: tuple[LayerFacts, ...]
    options: tuple[LayerChoice, ...]
    cost: Costs
    limit: int
    unit: float
    size: Costs | None
    uniform: tuple[QuantizationConfig, Score] | None
    parts: FileParts | None
    name: str
    network: str | None

    @classmethod
    def of(
        cls,
        problem: Problem,
        result: SearchResult,
        uniform: tuple[QuantizationConfig, Score] | None,
        model_bytes: int | None,
    ) -> ProblemFacts:
        """Read the facts off a problem.

        Args:
            problem: what was searched.
            result: what was found.
            uniform: the reference and its score, where there is one.
            model_bytes: size of the packed file, where one was written.
        """
        feasible, name = problem.feasible, type(problem).__qualname__
        network = parts = None
        if isinstance(problem, Complete):
            name = problem.name
        if isinstance(problem, Live):
            kind = type(problem.network)
            name, network = kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"
            parts = FileParts.of(problem, result.best)
        return cls(
            layers=tuple(_shown(facts) for facts in problem.layers),
            options=feasible.options,
            cost=Costs.of(feasible),
            limit=int(feasible.limit),
            unit=float(feasible.cost.value(1)),
            size=_sizes(problem, result),
            uniform=uniform,
            parts=parts if parts is not None and parts.total == model_bytes else None,
            name=name,
            network=network,
        )

    def chosen(self, config: QuantizationConfig) -> tuple[int, ...]:
        """Return the option index of each layer.

        Raises:
            FileFormatError: `config` has other layers or a choice that is no option.
        """
        position = {option: i for i, option in enumerate(self.options)}
        names = [facts.name for facts in self.layers]
        if [choice.layer for choice in config] != names:
            raise FileFormatError(f"its layers are not those of the configuration: {names}")
        try:
            return tuple(position[for_layer(choice, "")] for choice in config)
        except KeyError as error:
            raise FileFormatError(f"{error.args[0]} of the configuration is no option") from error

    def to_json(self) -> str:
        """Write as versioned JSON."""
        uniform = None
        if self.uniform is not None:
            config, score = self.uniform
            uniform = {
                "config": json.loads(config.to_json()),
                "score": json.loads(score.to_json()),
            }
        layers = [{name: getattr(f, name) for name in SHOWN} for f in self.layers]
        own = {"version": FACTS_VERSION, "layers": layers, "uniform": uniform}
        return json.dumps(asdict(self) | own)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ProblemFacts:
        """Undo `to_json`, once it is parsed.

        Raises:
            FileFormatError: another version, or damaged.
        """
        version = document.get("version")
        if version != FACTS_VERSION:
            raise FileFormatError(f"it is of version {version!r}, not {FACTS_VERSION}")
        values = {name: value for name, value in document.items() if name != "version"}
        if values.get("uniform") is not None:
            uniform = read_as(_Uniform, values["uniform"], "uniform")
            values["uniform"] = uniform["config"], uniform["score"]
        facts = read_fields(cls, values)
        for costs in (facts.cost, facts.size):
            if costs is not None:
                costs.require_shape(len(facts.layers), len(facts.options))
        if facts.parts is not None and len(facts.parts.layers) != len(facts.layers):
            raise FileFormatError(f"its parts are not of {counted(len(facts.layers), 'layer')}")
        return facts


class _Uniform(TypedDict):
    """The reference as it stands in the file."""

    config: dict[str, Any]
    score: dict[str, Any]


SHOWN = ("name", "kind", "shape", "parameters", "macs")
"""What a report says of a layer."""


def _shown(facts: LayerFacts) -> LayerFacts:
    return LayerFacts(**{name: getattr(facts, name) for name in SHOWN})


def _sizes(problem: Problem, result: SearchResult) -> Costs | None:
    """Return the bytes of every option, where they are what scores say."""
    feasible = problem.with_budget(NO_LIMIT["size_bytes"]).feasible
    costs = Costs.of(feasible)
    chosen = feasible.layer_vector(result.best)
    assert chosen is not None  # results are made of the feasible set's own choices
    return costs if costs.total(chosen) == result.score.size_bytes else None
