"""What a report needs and only the problem knows: layers, options and their exact costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlquant import (
    FeasibleSet,
    LayerChoice,
    LayerFacts,
    Problem,
    QuantizationConfig,
    QuantizationProblem,
    Score,
    TabularProblem,
)
from rlquant.errors import FileFormatError
from rlquant.space import for_layer
from rlquant.tabular.table_costs import NO_LIMIT
from rlquant_agents.reporting.file_parts import FileParts, require_counts
from rlquant_agents.search.result import SearchResult

FACTS_VERSION = 1


@dataclass(frozen=True, slots=True)
class Costs:
    """What every option of every layer costs, in whole units.

    Attributes:
        fixed: what every configuration pays.
        units: by layer and option.
    """

    fixed: int
    units: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, feasible: FeasibleSet) -> Costs:
        """Read them off the feasible set of a budget."""
        return cls(int(feasible.cost.fixed), tuple(map(tuple, feasible.costs.tolist())))

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
        unit: what one unit is worth in what budgets are given in.
        size: bytes in the packed file; None where the problem's bytes do not add up over layers.
        uniform: the widest same choice for all layers that keeps the budget, and its score.
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
        if isinstance(problem, TabularProblem):
            name = f"table {problem.table.name}"
        if isinstance(problem, QuantizationProblem):
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
        document = {
            "version": FACTS_VERSION,
            "name": self.name,
            "network": self.network,
            "layers": [{name: getattr(f, name) for name in SHOWN} for f in self.layers],
            "options": [asdict(option) for option in self.options],
            "cost": asdict(self.cost),
            "limit": self.limit,
            "unit": self.unit,
            "size": None if self.size is None else asdict(self.size),
            "uniform": uniform,
            "parts": None if self.parts is None else self.parts.document(),
        }
        return json.dumps(document)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ProblemFacts:
        """Undo `to_json`, once it is parsed.

        Raises:
            FileFormatError: another version, or numbers that are no costs.
            KeyError, TypeError, ValueError: damaged otherwise.
        """
        version = document.get("version")
        if version != FACTS_VERSION:
            raise FileFormatError(f"it is of version {version!r}, not {FACTS_VERSION}")
        rows = document["layers"]
        layers = tuple(LayerFacts(**(row | {"shape": tuple(row["shape"])})) for row in rows)
        options = tuple(LayerChoice(**option) for option in document["options"])
        size, shape = document["size"], (len(layers), len(options))
        return cls(
            layers,
            options,
            cost=_costs(document["cost"], shape),
            limit=int(document["limit"]),
            unit=float(document["unit"]),
            size=None if size is None else _costs(size, shape),
            uniform=_uniform(document["uniform"]),
            parts=FileParts.from_document(document["parts"]),
            name=str(document["name"]),
            network=document["network"],
        )


SHOWN = ("name", "kind", "shape", "parameters", "macs")
"""What a report says of a layer."""


def _shown(facts: LayerFacts) -> LayerFacts:
    return LayerFacts(**{name: getattr(facts, name) for name in SHOWN})


def _sizes(problem: Problem, result: SearchResult) -> Costs | None:
    """Return the bytes of every option, where they are what scores say."""
    feasible = problem.with_budget(NO_LIMIT["size_bytes"]).feasible
    costs = Costs.of(feasible)
    chosen = feasible.indices(result.best).tolist()
    return costs if costs.total(chosen) == result.score.size_bytes else None


def _costs(document: Any, shape: tuple[int, int]) -> Costs:
    costs = Costs(document["fixed"], tuple(map(tuple, document["units"])))
    require_counts([costs.fixed, *(n for row in costs.units for n in row)])
    if (len(costs.units), *{len(row) for row in costs.units}) != shape:
        raise FileFormatError(f"its costs are not of {shape[0]} layers and {shape[1]} options")
    return costs


def _uniform(document: Any) -> tuple[QuantizationConfig, Score] | None:
    if document is None:
        return None
    config = QuantizationConfig.from_json(json.dumps(document["config"]))
    return config, Score.from_json(json.dumps(document["score"]))
