"""The layerwise environment: Gymnasium's rules, masks, repair, rewards, and a budget that holds."""

from __future__ import annotations

import itertools
import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

from rlquant import Budget, EvaluationSettings, QuantizationProblem, Score, SearchSpace
from rlquant.errors import BudgetError, UnknownNameError
from rlquant.score import REWARDS, WORST_REWARD
from rlquant.space import for_layer
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_envs import FEATURES, LayerwiseQuantization
from small_networks import samples_of, trained

ID = "rlquant_envs:rlquant/LayerwiseQuantization-v0"
ONE_OPTION = SearchSpace(bits=(4,))
KEEPING = SearchSpace(
    bits=(2, 16), method=("float", "ternary", "post_training"), points=("kmeans", "clipped")
)
SPACES = {"bits": SearchSpace(bits=(2, 3, 8)), "mixed": MIXED, "one": ONE_OPTION, "keep": KEEPING}


@pytest.fixture(scope="module")
def live() -> QuantizationProblem:
    """A real network with the real evaluator, a few milliseconds an evaluation."""
    return QuantizationProblem(
        trained("mlp"),
        samples_of("mlp", 64, seed=1),
        samples_of("mlp", 96, seed=2),
        space=SearchSpace(bits=(2, 3, 4, 8), points=("clipped", "kmeans")),
        budget=Budget.average_bits(20.0),
        evaluation=EvaluationSettings(calibration_samples=32),
    )


def play(
    env: LayerwiseQuantization, actions: list[Any], **reset: Any
) -> tuple[list[float], list[dict[str, Any]], list[bool]]:
    env.reset(**reset)
    steps = [env.step(np.array(action)) for action in actions]
    return [s[1] for s in steps], [s[4] for s in steps], [s[2] for s in steps]


def wanted_bits(space: SearchSpace, action: list[int]) -> int:
    """The bits that an action asks for, legal or not."""
    asked = {head.name: head.options[i] for head, i in zip(space.heads, action, strict=True)}
    of_method = {"float": 32, "ternary": 2}
    return of_method.get(asked.get("method", ""), asked["bits"])


# --- the rules of Gymnasium and Stable-Baselines3; warnings are errors in every test


@pytest.mark.parametrize("space", SPACES)
def test_both_checkers_find_nothing(space: str) -> None:
    env = gymnasium.make(ID, problem=ToyProblem(3, 40.0, SPACES[space]))
    check_env(env.unwrapped)
    check_env_of_sb3(env.unwrapped)
    check_env_of_sb3(env)


def test_both_checkers_find_nothing_on_a_live_network(live: QuantizationProblem) -> None:
    env = gymnasium.make(ID, problem=live)
    check_env(env.unwrapped)
    check_env_of_sb3(env)


def test_made_by_name_it_passes_the_problem_on_and_not_a_copy(live: QuantizationProblem) -> None:
    env = gymnasium.make(ID, problem=live, budget=Budget.average_bits(7.0))
    base = env.unwrapped
    assert isinstance(base, LayerwiseQuantization)
    assert isinstance(base.problem, QuantizationProblem)
    assert base.problem.network is live.network
    assert base.problem.budget == Budget.average_bits(7.0)
    assert env.get_wrapper_attr("action_masks")().shape == (6,)


def test_an_episode_decides_the_layers_in_order_and_ends_with_a_measured_score(
    live: QuantizationProblem,
) -> None:
    env = LayerwiseQuantization(live)
    rewards, infos, terminated = play(env, [[1, 0], [2, 1], [3, 0]])
    names = [facts.name for facts in live.layers]
    assert names == ["first", "second", "last"]
    assert [choice.layer for choice in env.decided] == names
    assert [choice.bits for choice in env.decided] == [3, 4, 8]
    assert [choice.points for choice in env.decided] == ["clipped", "kmeans", "clipped"]
    assert terminated == [False, False, True]
    assert rewards[:2] == [0.0, 0.0]
    assert not any("config" in info or "score" in info for info in infos[:-1])
    config, score = infos[-1]["config"], infos[-1]["score"]
    assert tuple(config) == env.decided
    assert live.feasible.config([info["option"] for info in infos]) == config
    assert score == live.evaluate(config)
    assert rewards[2] == pytest.approx(-math.log(score.loss / live.float_score.loss))


def test_nothing_is_ever_truncated_and_reset_tells_the_budget() -> None:
    env = LayerwiseQuantization(ToyProblem(2))
    observation, info = env.reset(seed=1)
    assert info.pop("action_mask").tolist() == env.action_masks().tolist()
    assert info == {"limit": 4.0}
    assert observation.shape == (len(FEATURES),)
    assert [env.step(np.array([0]))[3] for _ in range(2)] == [False, False]


# --- a budget that nothing breaks


@settings(deadline=None, max_examples=60)
@given(
    space=st.sampled_from(sorted(SPACES)),
    layers=st.integers(1, 5),
    level=st.floats(0, 1.2),
    masked=st.booleans(),
    data=st.data(),
)
def test_no_action_breaks_the_budget_or_raises(  # type: ignore[no-untyped-def]
    space: str, layers: int, level: float, masked: bool, data: st.DataObject
):
    problem = ToyProblem(layers, 40.0, SPACES[space])
    problem = problem.with_budget(problem.within(level))
    env = LayerwiseQuantization(problem)
    env.reset(seed=0)
    sizes = env.action_space.nvec.tolist()  # type: ignore[attr-defined]
    info: dict[str, Any] = {}
    for _ in range(layers):
        heads = np.split(env.action_masks(), np.cumsum(sizes)[:-1])
        options = [np.flatnonzero(m).tolist() if masked else range(len(m)) for m in heads]
        assert all(options)
        action = [data.draw(st.sampled_from(list(o))) for o in options]
        observation, reward, _, _, info = env.step(np.array(action))
        assert env.observation_space.contains(observation)
        assert math.isfinite(reward)
    assert info["score"].average_bits <= problem.budget.limit
    assert problem.feasible.fits(problem.feasible.indices(info["config"]))


def test_stored_points_of_sixteen_bits_become_what_exists_at_sixteen_bits() -> None:
    env = LayerwiseQuantization(ToyProblem(1, 40.0, MIXED))
    (_, (info,), _) = play(env, [[3, 1, 0, 1, 1]])  # 16 bits, stochastic, k-means points
    assert info["repaired"]
    (choice,) = env.decided
    assert (choice.bits, choice.points, choice.rounding) == (16, "clipped", "stochastic")
    assert choice.activation_bits == 8


def test_the_order_of_options_does_not_turn_sixteen_bits_into_ternary() -> None:
    env = LayerwiseQuantization(ToyProblem(1, 40.0, KEEPING))
    (_, (info,), _) = play(env, [[1, 2, 0]])  # 16 bits, post-training, k-means points
    assert (env.decided[0].method, env.decided[0].bits) == ("post_training", 16)
    assert info["repaired"]


@settings(deadline=None, max_examples=60)
@given(
    space=st.sampled_from(["mixed", "keep", "bits"]),
    level=st.floats(0, 1),
    data=st.data(),
)
def test_a_repaired_action_keeps_its_bits_where_some_allowed_choice_has_them(  # type: ignore[no-untyped-def]
    space: str, level: float, data: st.DataObject
):
    problem = ToyProblem(3, 40.0, SPACES[space])
    problem = problem.with_budget(problem.within(level))
    env = LayerwiseQuantization(problem)
    env.reset(seed=0)
    for layer in range(3):
        action = data.draw(st.sampled_from(problem.space.actions.tolist()))
        wanted = problem.space.choice("", action)
        allowed = env.allowed_options()
        executed = env.step(np.array(action))[4]
        choice = env.decided[-1]
        assert choice.layer == problem.layers[layer].name
        fitting = [o for o, fits in zip(problem.feasible.options, allowed, strict=True) if fits]
        assert executed["repaired"] is (wanted is None or wanted.canonical() not in fitting)
        if wanted is not None and not executed["repaired"]:
            assert choice == for_layer(wanted.canonical(), choice.layer)
        bits = wanted_bits(problem.space, action)
        if bits in {option.arithmetic_bits for option in fitting}:
            assert choice.arithmetic_bits == bits


@settings(deadline=None, max_examples=40)
@given(
    space=st.sampled_from(["mixed", "keep", "bits", "one"]),
    level=st.floats(0, 1),
    data=st.data(),
)
def test_masks_are_those_of_brute_force(  # type: ignore[no-untyped-def]
    space: str, level: float, data: st.DataObject
):
    problem = ToyProblem(3, 40.0, SPACES[space])
    problem = problem.with_budget(problem.within(level))
    feasible, asked = problem.feasible, problem.space
    env = LayerwiseQuantization(problem)
    env.reset(seed=0)
    taken: list[int] = []
    for layer in range(3):
        rest = [int(feasible.costs[later].argmin()) for later in range(layer + 1, 3)]
        expected: set[tuple[int, int]] = set()
        for action in asked.actions.tolist():
            choice = asked.choice("", action)
            if choice is None:
                continue
            option = feasible.options.index(choice.canonical())
            if feasible.fits([*taken, option, *rest]):
                expected |= set(enumerate(action))
        flat = [
            (head, option) in expected
            for head, size in enumerate(env.action_space.nvec)  # type: ignore[attr-defined]
            for option in range(size)
        ]
        assert env.action_masks().tolist() == flat
        env.step(np.array(data.draw(st.sampled_from(asked.actions.tolist()))))
        taken = env.require_running() if layer < 2 else []


def test_where_only_the_cheapest_fits_every_action_becomes_it() -> None:
    problem = ToyProblem(3, 40.0, SearchSpace(bits=(2, 4)))
    env = LayerwiseQuantization(problem, budget=problem.within(0))
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True, False]
    _, infos, _ = play(env, [[1], [1], [0]])
    assert [choice.bits for choice in env.decided] == [2, 2, 2]
    assert [info["repaired"] for info in infos] == [True, True, False]


def test_a_space_of_one_option_is_asked_all_the_same() -> None:
    env = LayerwiseQuantization(ToyProblem(2, 40.0, ONE_OPTION))
    assert env.action_space == gymnasium.spaces.MultiDiscrete([1])
    _, infos, _ = play(env, [[0], [0]])
    assert [choice.bits for choice in infos[-1]["config"]] == [4, 4]


# --- rewards


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_by_name(name: str) -> None:
    problem = ToyProblem(2)
    env = LayerwiseQuantization(problem, reward=name)
    rewards, infos, _ = play(env, [[1], [1]])
    score, reference = infos[-1]["score"], problem.float_score
    expected = {
        "log_loss": -math.log(score.loss / reference.loss),
        "loss": reference.loss - score.loss,
        "accuracy": score.accuracy - reference.accuracy,
    }
    assert rewards[-1] == pytest.approx(expected[name])


def test_a_reward_of_ones_own_sees_the_score_and_the_float_score() -> None:
    def saved(score: Score, reference: Score) -> float:
        return reference.average_bits - score.average_bits

    problem = ToyProblem(2)
    rewards, infos, _ = play(LayerwiseQuantization(problem, reward=saved), [[0], [0]])
    saving = problem.float_score.average_bits - infos[-1]["score"].average_bits
    assert rewards == [0.0, saving]


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_gives_the_worst_reward(loss: float) -> None:
    env = LayerwiseQuantization(ToyProblem(1, loss_of=lambda config: loss))
    rewards, _, terminated = play(env, [[0]])
    assert rewards == [WORST_REWARD]
    assert terminated == [True]


def test_an_unknown_reward_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'log_loss'"):
        LayerwiseQuantization(ToyProblem(1), reward="logloss")


# --- budgets


def test_the_budget_drawn_at_reset_depends_on_the_seed_alone() -> None:
    budgets = [Budget.average_bits(limit) for limit in (3.0, 4.0, 5.0, 6.0)]
    env = LayerwiseQuantization(ToyProblem(2), budget=budgets)

    def drawn(seed: int) -> list[float]:
        first = env.reset(seed=seed)[1]["limit"]
        return [first, *(env.reset()[1]["limit"] for _ in range(9))]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert set(drawn(3)) | set(drawn(4)) == {budget.limit for budget in budgets}


def test_each_of_several_budgets_is_kept() -> None:
    budgets = [Budget.average_bits(limit) for limit in (2.5, 4.0, 9.0)]
    env = LayerwiseQuantization(ToyProblem(3), budget=budgets)
    for seed in range(12):
        _, infos, _ = play(env, [[3]] * 3, seed=seed)
        assert infos[-1]["score"].average_bits <= env.problem.budget.limit


def test_a_budget_in_the_options_holds_for_one_episode() -> None:
    env = LayerwiseQuantization(ToyProblem(2))
    tight = Budget.average_bits(2.5)
    assert env.reset(options={"budget": tight})[1]["limit"] == 2.5
    assert env.problem.budget == tight
    assert play(env, [[3], [3]], options={"budget": tight})[1][-1]["score"].average_bits <= 2.5
    assert env.reset()[1]["limit"] == 4.0


def test_a_budget_that_cannot_be_kept_is_refused_early() -> None:
    with pytest.raises(BudgetError, match="smallest reachable"):
        LayerwiseQuantization(ToyProblem(2), budget=Budget.average_bits(1.0))
    env = LayerwiseQuantization(ToyProblem(2))
    with pytest.raises(BudgetError, match="smallest reachable"):
        env.reset(options={"budget": Budget.average_bits(1.0)})


def test_the_masks_and_the_repair_agree_over_whole_episodes() -> None:
    """With one head, an action is repaired exactly where its option is masked."""
    problem = ToyProblem(4, 4.0)
    env = LayerwiseQuantization(problem)
    for actions in itertools.product(range(4), repeat=4):
        env.reset(seed=0)
        for action in actions:
            allowed = env.action_masks()[action]
            assert env.step(np.array([action]))[4]["repaired"] is not bool(allowed)


def test_masks_before_the_first_reset_are_those_after_it(live: QuantizationProblem) -> None:
    """A size budget has a fixed part, the file's own bytes, which is spent before any layer."""
    tight = live.with_budget(Budget.size_bytes(10**6))
    smallest = tight.feasible.smallest
    for budget in (Budget.size_bytes(smallest), Budget.size_bytes(smallest + 60)):
        env = LayerwiseQuantization(live, budget=budget)
        before = env.action_masks().tolist()
        env.reset(seed=0)
        assert before == env.action_masks().tolist()


def test_masks_outside_an_episode_can_be_asked_for() -> None:
    env = LayerwiseQuantization(ToyProblem(2))
    assert env.action_masks().any()
    play(env, [[0], [0]])
    assert env.action_masks().all()  # nothing is decided any more; SB3 asks all the same
