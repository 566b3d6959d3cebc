"""Ties: which layers share a decision, what a shared decision costs and may be, and its errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rlquant
from rlquant import Budget, FeasibleSet, LayerFacts, QuantizationProblem, SearchSpace
from rlquant.errors import ChoiceError, SettingsError, UnknownNameError
from rlquant.testing import toy_network
from rlquant.testing.toy_problem import ToyProblem
from rlquant.tie import Alike, fused, resolve_ties
from rlquant_agents import make_searcher
from rlquant_envs import LayerwiseQuantization

LLAMA = tuple(
    f"layers.{block}.{name}"
    for block in range(2)
    for name in (
        *(f"self_attn.{x}_proj" for x in "qkvo"),
        *(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
    )
)


def facts(names: tuple[str, ...]) -> list[LayerFacts]:
    return [LayerFacts(name, "linear", (4, 8), 32, 32) for name in names]


def tied(tie: Any, names: tuple[str, ...] = LLAMA) -> dict[str, tuple[str, ...]]:
    """The decisions about several layers."""
    found = SearchSpace(tie=tie).decisions(facts(names))
    assert sorted(sum(found.values(), ())) == sorted(names)
    return {name: layers for name, layers in found.items() if len(layers) > 1}


def test_q_k_v_and_gate_up_are_fused() -> None:
    found = tied(rlquant.tie.fused)
    assert found["layers.1.self_attn.q_proj+k_proj+v_proj"] == tuple(
        f"layers.1.self_attn.{x}_proj" for x in "qkv"
    )
    assert found["layers.0.mlp.gate_proj+up_proj"] == (
        "layers.0.mlp.gate_proj",
        "layers.0.mlp.up_proj",
    )
    assert len(found) == 4
    bert = ("attention.self.query", "attention.self.key", "attention.self.value", "output.dense")
    assert list(tied(fused, bert)) == ["attention.self.query+key+value"]


def test_layers_of_other_inputs_or_kinds_are_not_fused() -> None:
    query, key = "attn.q_proj", "attn.k_proj"
    wide = LayerFacts(key, "linear", (4, 16), 64, 64)
    assert fused([LayerFacts(query, "linear", (4, 8), 32, 32), wide]) == {}
    assert fused([LayerFacts(n, "conv", (4, 8, 1, 1), 32, 32) for n in (query, key)]) == {}


@pytest.mark.parametrize(
    "tie",
    [
        {"q": "*.q_proj", "mlps": ("*.gate_proj", "layers.?.mlp.up_proj")},
        (("q", ("*.q_proj",)), ("mlps", ("*.gate_proj", "*.up_proj"))),
        (
            lambda layers: {"q": [f.name for f in layers if "q_" in f.name]},
            ("mlps", ("*.gate_proj", "*.up_proj")),
        ),
    ],
    ids=["mapping", "pairs", "function and pair"],
)
def test_ties_may_be_named(tie: Any) -> None:
    found = tied(tie)
    assert found["q"] == ("layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj")
    assert len(found["mlps"]) == 4


def test_a_pattern_is_one_decision_and_alike_layers_some() -> None:
    assert list(tied(("*.down_proj", "layers.0.self_attn.*"))) == [
        "layers.0.self_attn",
        "*.down_proj",
    ]
    assert [len(layers) for layers in tied(Alike(7)).values()] == [2] * 7
    assert len(SearchSpace(tie=Alike(3)).decisions(facts(LLAMA))) == 3


@pytest.mark.parametrize(
    ("tie", "error", "words"),
    [
        ("*.q_prj", UnknownNameError, "layer in tie"),
        ({"q": ("layers.0.self_attn.q_prj",)}, UnknownNameError, "did you mean"),
        (("*.q_proj", "layers.0.*"), SettingsError, "tie: layer 'layers.0.self_attn.q_proj' is in"),
        ({LLAMA[0]: LLAMA[1:3]}, SettingsError, "is the name of a layer outside of it"),
        (7, ChoiceError, "rlquant.tie.fused"),
        ((7,), ChoiceError, "tie has 7"),
        ({"q": ()}, ChoiceError, "tie has 'q'"),
    ],
)
def test_what_cannot_be_tied_is_named(tie: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SearchSpace(tie=tie).decisions(facts(LLAMA))


def test_layers_without_a_common_option_cannot_be_tied() -> None:
    space = SearchSpace(bits=(2, 3), override={"layer0": {"bits": (4,)}}, tie="layer[01]")
    with pytest.raises(SettingsError, match="no option in common: layer0, layer1"):
        ToyProblem(3, 40.0, space)


@st.composite
def ties(draw: st.DrawFn, layers: int) -> dict[str, tuple[str, ...]]:
    """Any division of layers into decisions."""
    groups = draw(st.lists(st.integers(0, layers - 1), min_size=layers, max_size=layers))
    members: dict[int, list[str]] = {}
    for layer, group in enumerate(groups):
        members.setdefault(group, []).append(f"layer{layer}")
    return {f"tie{group}": tuple(names) for group, names in members.items() if len(names) > 1}


@settings(deadline=None, max_examples=60)
@given(data=st.data(), layers=st.integers(1, 5), level=st.floats(0, 1))
def test_a_tied_problem_is_the_whole_one_where_tied_layers_agree(
    data: st.DataObject, layers: int, level: float
) -> None:
    given_ties = data.draw(ties(layers))
    whole = ToyProblem(layers, 40.0, SearchSpace(bits=(2, 3, 8)))
    problem = ToyProblem(layers, 40.0, SearchSpace(bits=(2, 3, 8), tie=given_ties))
    problem = problem.with_budget(problem.within(level))
    feasible: FeasibleSet = problem.feasible
    agreeing = 0
    for row in feasible.all_indices():
        config = feasible.config(row)
        assert [choice.layer for choice in config] == [f.name for f in problem.layers]
        assert feasible.vector(config) == tuple(row)
        alone = whole.feasible.indices(config)
        assert feasible.spent(row) == whole.feasible.spent(alone) <= feasible.limit
        agreeing += 1
    # every configuration whose tied layers agree and that keeps the budget is there
    fitting = [r for r in whole.everything() if whole.feasible.spent(r) <= feasible.limit]
    configs = map(whole.feasible.config, fitting)
    assert agreeing == sum(feasible.vector(config) is not None for config in configs)
    assert agreeing == feasible.count()


@settings(deadline=None, max_examples=30)
@given(data=st.data(), level=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_masks_of_decisions_are_those_of_brute_force(
    data: st.DataObject, level: float, seed: int
) -> None:
    problem = ToyProblem(4, 40.0, SearchSpace(bits=(2, 3, 8), tie=data.draw(ties(4))))
    problem = problem.with_budget(problem.within(level))
    rows = problem.feasible.all_indices()
    env = LayerwiseQuantization(problem)
    env.reset(seed=0)
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    for decision in range(len(problem.feasible)):
        following = rows[(rows[:, :decision] == chosen).all(axis=1)] if chosen else rows
        allowed = np.flatnonzero(env.action_masks())
        assert allowed.tolist() == sorted(set(following[:, decision].tolist()))
        chosen.append(int(generator.choice(allowed)))
        _, _, done, _, info = env.step(np.array([chosen[-1]]))
    assert done
    assert info["score"].loss == problem.loss(problem.feasible.config(chosen))


@pytest.mark.parametrize("name", ["auto", "random", "knapsack", "local-swap", "tpe", "masked-ppo"])
def test_searchers_decide_for_tied_layers_together(name: str) -> None:
    problem = ToyProblem(5, 4.0, SearchSpace(bits=(2, 3, 4, 8), tie={"pair": ("layer1", "layer3")}))
    result = make_searcher(name).search(problem, 20, seed=0)
    assert len(result.best) == 5
    for evaluation in result.history:
        assert evaluation.config["layer1"].bits == evaluation.config["layer3"].bits


def test_a_live_problem_evaluates_builds_and_files_layers() -> None:
    network, data, validation = toy_network()
    assert isinstance(network, nn.Module)
    space = SearchSpace(bits=(2, 4, 8), tie={"both": "*"})
    problem = QuantizationProblem(
        network, data, validation, budget=Budget.average_bits(5.0), space=space
    )
    assert [layer.name for layer in problem.layers] == ["hidden", "last"]
    assert problem.feasible.names == ("both",)
    config = problem.feasible.config([1])
    assert [(c.layer, c.bits) for c in config] == [("hidden", 4), ("last", 4)]
    score = problem.evaluate(config)
    free = QuantizationProblem(network, data, validation, budget=Budget.average_bits(5.0))
    assert free.evaluate(config).loss == score.loss
    spent = problem.feasible.cost.value(problem.feasible.spent([1]))
    assert spent == score.average_bits
    differing = free.feasible.config([0, 2])
    assert math.isfinite(problem.evaluate(differing).loss)  # any valid configuration is scored
    with pytest.raises(ChoiceError, match="different choices"):
        problem.feasible.indices(differing)


def test_ties_are_resolved_in_execution_order() -> None:
    found = resolve_ties((("late", ("c", "a")),), facts(("a", "b", "c")))
    assert found == {"late": ("a", "c"), "b": ("b",)}
