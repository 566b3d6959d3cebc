"""Options that some layers have of their own: what they cost, and that nothing leaves them."""

from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from problems import problem
from rlquant import Budget, QuantizationConfig, QuantizationProblem, SearchSpace
from rlquant.documents import read_as
from rlquant.errors import ChoiceError, SettingsError, UnknownNameError
from rlquant.export.targets import TARGETS
from rlquant.layers import find_layers
from rlquant.tabular.grouped import GroupedProblem
from rlquant.tabular.table import Table
from rlquant_agents import search_problem
from rlquant_envs import LayerwiseQuantization
from small_networks import NETWORKS, fresh, samples_of

SPACE = SearchSpace(
    bits=(2, 4, 8),
    group_size=("channel", 4),
    override={"s*": {"bits": (3, 4), "group_size": ("tensor",)}, "last": {"bits": (8,)}},
)
OWN: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
    "first": ((2, 4, 8), ("channel", 4)),
    "second": ((3, 4), ("tensor",)),
    "last": ((8,), ("channel", 4)),
}


def of(limit: float = 64.0, space: SearchSpace = SPACE) -> QuantizationProblem:
    return problem(space=space, budget=Budget.average_bits(limit))


def keeps_to_its_own(config: QuantizationConfig) -> bool:
    return all(
        c.bits in OWN[c.layer][0] and c.group_size in OWN[c.layer][1] for c in config.choices
    )


def test_the_space_holds_the_options_of_all_layers() -> None:
    assert SPACE.whole.bits == (2, 4, 8, 3)
    assert SPACE.whole.group_size == ("channel", 4, "tensor")
    assert [head.name for head in SPACE.heads] == ["bits", "group_size"]
    own = SPACE.own_options(list(OWN))
    for row, (widths, sizes) in zip(own, OWN.values(), strict=True):
        found = {(o.bits, o.group_size) for o, has in zip(SPACE.options(), row, strict=True) if has}
        assert found == set(itertools.product(widths, sizes))


def test_of_two_that_set_the_same_the_later_counts() -> None:
    space = SearchSpace(override=(("*", {"bits": (2,)}), ("last", {"bits": (3,)})))
    assert space.of_layer("first").bits == (2,)
    assert space.of_layer("last").bits == (3,)


def test_it_is_a_value_that_files_hold() -> None:
    assert hash(SPACE) == hash(replace(SPACE))
    assert pickle.loads(pickle.dumps(SPACE)) == SPACE
    assert read_as(SearchSpace, json.loads(json.dumps(asdict(SPACE)))) == SPACE


@pytest.mark.parametrize(
    ("override", "error", "words"),
    [
        ({"a": {"bit": (3,)}}, UnknownNameError, r"override\['a'\] 'bit'; did you mean 'bits'"),
        ({"a": {"bits": 3}}, ChoiceError, r"override\['a'\]: .*give a tuple of options"),
        ({"a": {"bits": (99,)}}, ChoiceError, r"override\['a'\]: .*bits=99"),
        ({"a": 5}, ChoiceError, r"override\['a'\]=5, give options by decision"),
        (7, ChoiceError, "override=7, give options by decision"),
        ({3: {"bits": (3,)}}, ChoiceError, "override names layers by their str: 3"),
    ],
)
def test_what_is_no_override_is_refused(override: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SearchSpace(override=override)


def test_a_pattern_of_no_layer_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="in override 'lasr'; did you mean 'last'"):
        of(space=SearchSpace(override={"lasr": {"bits": (3,)}}))
    with pytest.raises(UnknownNameError, match="in exclude 'secnd'; did you mean 'second'"):
        of(space=SearchSpace(exclude=("secnd",)))


def test_patterns_exclude_layers() -> None:
    network, example = fresh(NETWORKS["mlp"].build), samples_of("mlp", 2)[0]
    assert [f.name for f in find_layers(network, example, exclude=("*d",))] == ["first", "last"]
    kept = of(space=SearchSpace(exclude=("[fs]*",)))
    assert [facts.name for facts in kept.layers] == ["last"]
    named = of(space=SearchSpace(exclude=("first", "second")))
    assert kept.costs.size.fixed == named.costs.size.fixed
    assert kept.notes == named.notes


@pytest.mark.parametrize("limit", [64.0, 7.0])
def test_what_fits_has_own_options_alone(limit: float) -> None:
    feasible = of(limit).feasible
    everything = itertools.product(range(len(feasible.options)), repeat=len(feasible))
    fitting = {indices for indices in everything if feasible.fits(indices)}
    own = [indices for indices in fitting if keeps_to_its_own(feasible.config(indices))]
    assert len(own) == len(fitting) == feasible.count()
    assert feasible.exact
    if limit == 64.0:
        assert len(fitting) == 6 * 2 * 2
    draw = np.random.default_rng(0)
    for _ in range(20):
        assert tuple(feasible.sample(draw)) in fitting
        wanted = draw.integers(len(feasible.options), size=len(feasible))
        assert tuple(feasible.repair(wanted)) in fitting


@pytest.mark.parametrize("limit", [64.0, 7.0])
def test_an_environment_masks_and_repairs_what_is_not_a_layers_own(limit: float) -> None:
    env = LayerwiseQuantization(problem=of(limit))
    draw = np.random.default_rng(0)
    for masked in (True, False) * 4:
        env.reset(seed=0)
        done, info = False, {}
        while not done:
            action = env.action_space.sample()
            if masked:
                mask, place = env.action_masks(), 0
                for head, size in enumerate(env.action_space.nvec):
                    allowed = np.flatnonzero(mask[place : place + size])
                    action[head] = draw.choice(allowed)
                    place += size
            _, _, done, _, info = env.step(action)
        assert keeps_to_its_own(info["config"])


@pytest.mark.parametrize("name", ["random", "knapsack", "local-swap", "dyna-ppo", "tpe"])
def test_searchers_find_own_options_alone(name: str) -> None:
    for limit in (64.0, 7.0):
        result = search_problem(of(limit), searcher=name, evaluations=12, seed=0)
        assert keeps_to_its_own(result.best)


def test_groups_have_what_their_layers_have_in_common() -> None:
    grouped = GroupedProblem(
        of(space=replace(SPACE, override={"s*": {"bits": (3, 4)}})),
        {"a": ("first", "second"), "b": ("last",)},
    )
    widths = [
        {o.bits for o, has in zip(grouped.feasible.options, row, strict=True) if has}
        for row in grouped.feasible.own
    ]
    assert widths == [{4}, {2, 4, 8}]
    with pytest.raises(SettingsError, match="'a' have no option in common"):
        GroupedProblem(of(), {"a": ("first", "second"), "b": ("last",)})


def test_targets_leave_what_they_can_express_of_it() -> None:
    space = SearchSpace(bits=(4, 8), override={"last": {"bits": (3, 8)}})
    left = TARGETS["onnxruntime-int4"].restrict(space)
    assert (left.bits, left.of_layer("last").bits) == ((4,), (3,))
    with pytest.raises(ChoiceError, match="onnxruntime-int4"):
        TARGETS["onnxruntime-int4"].restrict(replace(space, override={"last": {"bits": (8,)}}))


def test_tables_have_no_layers_of_their_own_options() -> None:
    found = of()
    with pytest.raises(SettingsError, match="give a space without override"):
        Table.of(found, [1.0], [1], name="t", task="t", command="t")
