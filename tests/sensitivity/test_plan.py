"""What is quantized for expected increases."""

from __future__ import annotations

import pytest
import torch

from rlquant import AverageBitsCost, Budget, SearchSpace
from rlquant.cost.distinct_options import standing_options
from rlquant.cost.feasible import FeasibleSet
from rlquant.cost.size import LayerStorage
from rlquant.layers import LayerFacts
from rlquant.sensitivity import anchors
from rlquant.sensitivity.plan import IncreasePlan

SIZES = {
    "block.0.deep": (64, 9),
    "block.0.wide": (64, 64),
    "block.1.deep": (64, 9),
    "head": (8, 64),
}


def plan_of(space: SearchSpace) -> IncreasePlan:
    layers = tuple(
        LayerFacts(name, "linear", shape, shape[0] * shape[1], 1) for name, shape in SIZES.items()
    )
    options, names = space.options("calibrated"), list(SIZES)
    own, ties = space.own_options(names), space.decisions(layers)
    budget = Budget.average_bits(7.0)
    costs = AverageBitsCost({name: LayerStorage(torch.randn(SIZES[name])) for name in names})
    standing = standing_options(layers, ties, options, own)
    feasible = FeasibleSet(layers, options, costs, budget, own, ties, standing)
    return IncreasePlan.of({name: torch.zeros(SIZES[name]) for name in names}, feasible)


def test_every_layer_has_an_anchor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of 32 are anchors, which rows of 9 weights do not have: their channel stands there."""
    monkeypatch.setattr(anchors, "MOST_WEIGHTS", 0)
    plan = plan_of(SearchSpace(bits=(2, 3, 4, 6, 8), group_size=(32, 16, "channel")))
    groups = {n: {c.group_size for c in found.values()} for n, found in plan.choices.items()}
    assert groups["block.0.deep"] == {"channel"}
    assert 32 in groups["block.0.wide"]
    assert all(plan.choices.values())


def test_a_layer_without_any_anchor_is_quantized_in_all_of_its_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anchors, "MOST_WEIGHTS", 0)
    apart = ("block.0.wide", {"points": ("affine",), "bits": (7, 8)})
    space = SearchSpace(bits=(2, 3, 4, 5, 6, 7, 8), points=("clipped", "affine"), override=(apart,))
    found = plan_of(space).choices["block.0.wide"].values()
    assert {(choice.points, choice.bits) for choice in found} >= {("affine", 7), ("affine", 8)}
