"""Landscapes as tensors, padded to one shape: a network under a budget is an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlquant.errors import SettingsError
from rlquant_experiments.landscapes.landscape import Floats, Indices, Landscape
from rlquant_experiments.layer_policy.decoding import solve_by_prices
from rlquant_experiments.layer_policy.features import FEATURES, LEAST, features_of

LEAST_ABOVE = 0.02
"""Of the float loss: smaller increases are more noise than anything, and are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Networks under budgets: what an encoder sees, and what was measured.

    Attributes:
        features: float32, shape `(n, layers, options, FEATURES)`.
        own: which options layers have, shape `(n, layers, options)`.
        logs: of expected increases, same shape.
        rows: measured options, one more than there are layers' options where a layer is padding,
            shape `(n, rows, layers)`.
        targets: logs of measured increases, shape `(n, rows)`; NaN for padding.
        of: for each example its landscape's number and its budget's.
    """

    features: Tensor
    own: Tensor
    logs: Tensor
    rows: Tensor
    targets: Tensor
    of: tuple[tuple[int, int], ...]

    def at(self, chosen: Tensor) -> Examples:
        """Return some of the examples, by number."""
        return Examples(
            features=self.features[chosen],
            own=self.own[chosen],
            logs=self.logs[chosen],
            rows=self.rows[chosen],
            targets=self.targets[chosen],
            of=tuple(self.of[i] for i in chosen.tolist()),
        )

    def predicted(self, corrections: Tensor) -> Tensor:
        """Return the logs of the sums of corrected increases, shape `(n, rows)`."""
        return self._taken(self.logs + corrections).logsumexp(dim=-1)

    def variance(self, corrections: Tensor, deviation: Tensor) -> Tensor:
        """Return the variances of those logs, to first order, shape `(n, rows)`."""
        shares = self._taken(self.logs + corrections).softmax(dim=-1)
        padded = self._taken(deviation.square().masked_fill(~self.own, 0.0))
        return (shares.square() * padded).sum(dim=-1)

    def _taken(self, values: Tensor) -> Tensor:
        """Return the values of the measured options, shape `(n, rows, layers)`."""
        wide = values[:, None].expand(-1, self.rows.shape[1], -1, -1)
        return wide.gather(3, self.rows[..., None]).squeeze(3)


def examples_of(landscapes: Sequence[Landscape]) -> Examples:
    """Return an example for each landscape and budget of which enough was measured.

    Raises:
        SettingsError: no losses above those of the float networks, which have learned nothing.
    """
    pairs = [(i, b) for i, each in enumerate(landscapes) for b in range(len(each.limits))]
    pairs = [(i, b) for i, b in pairs if _measured(landscapes[i], b)[1].size > 2]
    if not pairs:
        names = ", ".join(each.name for each in landscapes)
        raise SettingsError(f"no loss of {names} is above the float network's; train it for longer")
    layers = max(len(each.names) for each in landscapes)
    options = max(each.increases.shape[1] for each in landscapes)
    most = max(_measured(landscapes[i], b)[1].size for i, b in pairs)
    features = np.zeros((len(pairs), layers, options, len(FEATURES)), dtype=np.float32)
    own = np.zeros((len(pairs), layers, options), dtype=bool)
    logs = np.full((len(pairs), layers, options), -1e4, dtype=np.float32)
    rows = np.zeros((len(pairs), most, layers), dtype=np.int64)
    targets = np.full((len(pairs), most), np.nan, dtype=np.float32)
    for number, (i, b) in enumerate(pairs):
        each, limit = landscapes[i], landscapes[i].limits[b]
        asked, found = _measured(each, b)
        shape = (slice(0, len(each.names)), slice(0, each.increases.shape[1]))
        features[number][shape] = features_of(each, solution_of(each, limit), limit)
        own[number][shape] = each.own > 0
        logs[number][shape] = np.log(np.maximum(each.increases, LEAST))
        rows[number, : len(asked), : shape[0].stop] = asked
        targets[number, : len(found)] = found
    return Examples(
        features=torch.from_numpy(features),
        own=torch.from_numpy(own),
        logs=torch.from_numpy(logs),
        rows=torch.from_numpy(rows),
        targets=torch.from_numpy(targets),
        of=tuple(pairs),
    )


def noise_floor(landscape: Landscape) -> float:
    """Return the increase below which differences say nothing."""
    return LEAST_ABOVE * landscape.float_loss + 1e-7


def solution_of(landscape: Landscape, limit: int, corrections: Floats | None = None) -> Indices:
    """Return the knapsack over a landscape's increases, corrected or not, shape `(layers,)`."""
    logs = np.log(np.maximum(landscape.increases, LEAST))
    effects = np.exp(logs + (0.0 if corrections is None else corrections))
    costs = np.where(landscape.own > 0, landscape.costs, 1e15)
    found: Indices = solve_by_prices(effects[None], costs, limit - landscape.fixed)[0]
    return found


def _measured(landscape: Landscape, budget: int) -> tuple[Indices, Floats]:
    """Return different rows of a budget, and the logs of their increases."""
    chosen = landscape.budgets == budget
    rows, first = np.unique(landscape.rows[chosen], axis=0, return_index=True)
    above = landscape.losses[chosen][first] - landscape.float_loss
    kept = above > noise_floor(landscape)
    return rows[kept], np.log(above[kept])
