"""The environment of assignments: Gymnasium's rules, rewards that add up, one clear error each."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FlattenObservation
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import rlquant
from assigned_layers import error, layer, nearest
from rlquant.errors import ChoiceError, RlquantError, SettingsError, UnknownNameError
from rlquant.quantizers import quantize_integer
from rlquant.rounding.layer_problem import GROUP_FEATURES, LayerProblem
from rlquant_envs import PointAssignment
from small_networks import NETWORKS, fresh, samples_of, trained
from strategies import seeded

ID = "rlquant_envs:rlquant/PointAssignment-v0"
FEATURES = list(GROUP_FEATURES)


def problem(seed: int = 0, weights_per_action: int = 1, groups: int = 1) -> LayerProblem:
    weight, moments = layer(seed, groups)
    return LayerProblem.of(
        weight, nearest(weight), moments, weights_per_action=weights_per_action, place=0.5
    )


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_it_keeps_the_rules_of_gymnasium(one_at_a_time: bool) -> None:
    env = gymnasium.make(ID, problem=problem(), one_at_a_time=one_at_a_time)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_of_sb3(env.unwrapped if one_at_a_time else FlattenObservation(env))


def test_the_problem_of_a_task_is_made_by_name() -> None:
    env = gymnasium.make(
        ID,
        task="digits/mlp",
        layer="classifier",
        bits=3,
        weights_per_action=4,
        calibration_samples=64,
    )
    made = env.unwrapped.problem  # type: ignore[attr-defined]
    assert made.count == 10 * 8
    assert made.place == 1.0
    assert len(made.between.quantized.codebook) == 8


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("weights_per_action", [1, 5])
def test_rewards_of_all_steps_add_up_to_that_of_the_one_step(
    weights_per_action: int, groups: int
) -> None:
    made = problem(1, weights_per_action, groups)
    actions = torch.rand(made.count, generator=seeded(2)).numpy() < 0.5
    at_once, in_turn = PointAssignment(made), PointAssignment(made, one_at_a_time=True)
    at_once.reset()
    _, reward, done, _, info = at_once.step(actions.astype(np.int8))
    assert done
    in_turn.reset()
    steps = [in_turn.step(int(action)) for action in actions]
    assert [step[2] for step in steps] == [False] * (made.count - 1) + [True]
    assert sum(step[1] for step in steps) == pytest.approx(reward, abs=1e-5)
    assert np.array_equal(steps[-1][4]["codes"], info["codes"])
    assert np.array_equal(info["codes"], at_once.quantized.codes)
    weight, moments = layer(1, groups)
    errors = [error(weight, each, moments) for each in (at_once.quantized, nearest(weight))]
    assert reward == pytest.approx(1 - errors[0] / errors[1], rel=1e-4)
    assert info["improvement"] == reward


def test_an_episode_begins_at_nearest_rounding_which_is_worth_nothing() -> None:
    made = problem(2)
    weight, _ = layer(2)
    env = PointAssignment(made)
    for _ in range(2):  # and again
        env.reset()
        _, reward, _, _, info = env.step(made.nearest.numpy())
        assert reward == pytest.approx(0.0, abs=1e-6)
        assert np.array_equal(info["codes"], nearest(weight).codes)


def test_features_by_hand() -> None:
    weight = torch.tensor([[-1.0, 0.4, 0.9], [0.0, 0.0, 0.0]])
    made = LayerProblem.of(weight, quantize_integer(weight, 2), torch.eye(3)[None])
    scale = 0.9  # of the first channel: -2 .. 1 times it cover -1 .. 0.9
    rows = dict(zip(FEATURES, made.features(made.nearest).T.tolist(), strict=True))
    up = made.nearest.tolist()
    assert up[:3] == [True, False, True]
    position = [1 - 0.1 / scale, 0.4 / scale, 1.0]
    assert rows["position"][:3] == pytest.approx(position, abs=1e-5)
    assert rows["below"] == rows["position"]
    assert rows["above"][:3] == pytest.approx([1 - p for p in position], abs=1e-5)
    assert rows["scale"] == pytest.approx([0.9, 0.9, 0.9, 1, 1, 1])  # 1 of a channel of zeros
    away = [float(u) - p for u, p in zip(up[:3], position, strict=True)]
    assert rows["gradient"][:3] == pytest.approx(away, abs=1e-5)  # inputs are independent
    assert rows["up"] == [float(u) for u in up]
    assert rows["layer"] == [0.0] * 6


def test_groups_are_of_one_channel_and_of_similar_positions() -> None:
    made = problem(3, weights_per_action=5)
    assert made.count == 6 * 3
    position, group = made.between.position[0], made.grouping.index[0]
    for channel in range(6):
        ordered = group[channel][position[channel].argsort(stable=True)]
        assert torch.equal(ordered, ordered.sort().values)
        assert ordered.bincount().tolist() == [5, 5, 2]


def test_one_at_a_time_sees_what_was_decided_before() -> None:
    seen = []
    for first in (0, 1):
        env = PointAssignment(problem(4), one_at_a_time=True)
        env.reset()
        seen.append(env.step(first)[0])
    gradient = FEATURES.index("gradient")
    assert seen[0][gradient] != seen[1][gradient]


def test_impossible_arguments_are_refused() -> None:
    made = problem()
    with pytest.raises(SettingsError, match="PointAssignment: task, layer, bits"):
        PointAssignment(made, bits=2)
    with pytest.raises(SettingsError, match="problem is str; make one with"):
        PointAssignment("digits/mlp")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="render_mode='human': there is nothing to render"):
        PointAssignment(made, render_mode="human")
    with pytest.raises(SettingsError, match="weights_per_action=0"):
        problem(weights_per_action=0)
    weight = torch.tensor([[-2.0, 1.0]])
    with pytest.raises(SettingsError, match="nothing is to be chosen"):
        LayerProblem.of(weight, nearest(weight), torch.eye(2)[None])


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_wrong_actions_and_wrong_times_are_refused(one_at_a_time: bool) -> None:
    env = PointAssignment(problem(), one_at_a_time=one_at_a_time)
    right: Any = 1 if one_at_a_time else np.ones(env.problem.count, dtype=np.int8)
    with pytest.raises(RlquantError, match=r"call reset\(\) first"):
        env.step(right)
    env.reset()
    for wrong in (np.full(np.shape(right), 2), np.ones(3), "up"):
        with pytest.raises(SettingsError, match="1 for up, 0 for down"):
            env.step(wrong)
    for _ in range(env.problem.count if one_at_a_time else 1):
        env.step(right)
    with pytest.raises(RlquantError, match=r"call reset\(\) first"):
        env.step(right)


def test_a_layer_that_is_not_there_or_has_no_moments_is_refused() -> None:
    data = samples_of("mlp", 64)
    with pytest.raises(UnknownNameError, match="unknown layer 'frist'; did you mean 'first'"):
        rlquant.layer_problem(trained("mlp"), data, "frist", calibration_samples=32)
    network = fresh(NETWORKS["words"].build)
    with pytest.raises(ChoiceError, match="layer 'words': its inputs have no moments"):
        rlquant.layer_problem(network, samples_of("words", 64), "words", calibration_samples=32)
