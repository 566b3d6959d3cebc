"""What gradients say of many layers: what an agent is shown, paid for and sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from many_layers import shared
from rlquant.errors import SettingsError
from rlquant.testing.toy_problem import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.searchers.ppo.layer_encoder import POSITION, LayerEncoder
from rlquant_agents.searchers.ppo.searcher import MaskedPPO
from rlquant_agents.searchers.ppo.shaping import ShapedByIncreases
from rlquant_agents.searchers.ppo.side_information import SideInformation
from rlquant_envs import LayerwiseQuantization
from rlquant_envs.observation import FEATURES, LAYER_FEATURES

SMALL = {"environments": 4, "episodes": 4, "epochs": 1, "hidden": 16}


def known(session: Session | None = None) -> SideInformation:
    found = SideInformation.of(session or Session(shared(), 40))
    assert found is not None
    return found


def test_there_is_none_of_few_layers_another_reward_or_too_few_evaluations() -> None:
    assert SideInformation.of(Session(ToyProblem(4), 40)) is None
    assert SideInformation.of(Session(ToyProblem(40), 40)) is None  # no gradients
    assert SideInformation.of(Session(shared(), 40, reward="loss")) is None
    assert SideInformation.of(Session(shared(), 1)) is None


def test_solutions_keep_the_budget_and_begin_with_that_of_the_expected_increases() -> None:
    given = known()
    found = given.solutions(12, np.random.default_rng(0))
    feasible = given.session.feasible
    assert len(found) == 12
    assert all(feasible.fits(row) for row in found)
    assert (found[0] == solve_knapsack(given.increases, feasible)).all()
    assert len({tuple(row.tolist()) for row in found}) > 4
    again = given.solutions(12, np.random.default_rng(0))
    assert all((one == other).all() for one, other in zip(found, again, strict=True))


def test_layers_are_told_by_features_increases_and_costs() -> None:
    given = known()
    layers, options = given.increases.shape
    found = given.layers()
    assert found.shape == (layers, len(LAYER_FEATURES) + 2 * options)
    assert np.abs(found).max() <= 4.0
    increases = found[:, len(LAYER_FEATURES) : -options]
    assert (increases.argmax(axis=1) == given.increases.argmax(axis=1)).all()
    assert (found[:, -options:].max(axis=1) == 1.0).all()


def test_shaping_changes_the_return_of_every_episode_by_the_same_constant() -> None:
    """That is minus the first potential: the log of what the best of all is foreseen to lose."""
    session = Session(shared(), 40)
    given = known(session)
    shaped = ShapedByIncreases(LayerwiseQuantization(session), given)
    generator = np.random.default_rng(0)
    differences, paid = [], []
    for _ in range(4):
        shaped.reset()
        rewards, ended = [], False
        while not ended:
            allowed = np.flatnonzero(shaped.env.get_wrapper_attr("action_masks")())
            _, reward, ended, _, info = shaped.step(np.array([generator.choice(allowed)]))
            rewards.append(reward)
        differences.append(sum(rewards) + np.log1p(info["score"].loss))
        paid.append(rewards[:-1])
    best = given.increases[np.arange(34), solve_knapsack(given.increases, session.feasible)].sum()
    assert differences == pytest.approx([differences[0]] * 4, abs=1e-9)
    assert differences[0] == pytest.approx(np.log1p(best), rel=0.02)  # the knapsack is on a grid
    assert all(np.count_nonzero(np.abs(rewards) > 1e-3 * np.log1p(best)) > 5 for rewards in paid)


def test_an_encoder_tells_the_layer_from_the_others_and_what_is_to_come() -> None:
    torch.manual_seed(0)
    given = known()
    env = LayerwiseQuantization(given.session)
    encoder = LayerEncoder(env.observation_space, given.layers(), width=8)
    count = len(given.session.feasible)
    observations = torch.zeros(count, len(FEATURES))
    observations[:, POSITION] = torch.linspace(0, 1, count)
    with torch.no_grad():
        found = encoder(observations)
        codes = encoder.blocks(encoder.embedding(encoder.layers)[None])[0]
    assert found.shape == (count, encoder.features_dim) == (count, len(FEATURES) + 16)
    assert torch.equal(found[:, : len(FEATURES)], observations)
    assert torch.equal(found[:, len(FEATURES) : -8], codes)
    assert torch.allclose(found[0, -8:], codes.mean(dim=0), atol=1e-5)
    assert torch.allclose(found[-1, -8:], codes[-1], atol=1e-5)


def test_every_layer_changes_the_code_of_every_other() -> None:
    torch.manual_seed(0)
    given = known()
    layers = given.layers()
    space = LayerwiseQuantization(given.session).observation_space
    encoder = LayerEncoder(space, layers, width=8)
    first = torch.zeros(1, len(FEATURES))
    before = encoder(first)
    encoder.layers[-1] += 1.0
    assert not torch.allclose(encoder(first)[0, len(FEATURES) : -8], before[0, len(FEATURES) : -8])


def test_an_agent_begins_near_the_knapsack_of_expected_increases() -> None:
    """The first answers of one that was fitted to uniform draws are far from it."""
    first = {
        warm_start: MaskedPPO(warm_start=warm_start, **SMALL).search(shared(), 12, seed=0)  # type: ignore[arg-type]
        for warm_start in ("knapsacks", "uniform")
    }
    losses = {
        name: np.log([evaluation.score.loss for evaluation in result.history[:4]]).mean()
        for name, result in first.items()
    }
    assert losses["knapsacks"] < losses["uniform"] - 0.1


@pytest.mark.parametrize(("shaping", "encoder"), [(True, True), (False, True), (True, False)])
def test_the_same_seed_finds_the_same(shaping: bool, encoder: bool) -> None:
    searcher = MaskedPPO(shaping=shaping, encoder=encoder, **SMALL)  # type: ignore[arg-type]
    found = [searcher.search(shared(), 12, seed=1) for _ in range(2)]
    assert [e.config for e in found[0].history] == [e.config for e in found[1].history]


def test_who_wants_no_side_information_pays_for_none() -> None:
    for begun in ({"warm_start": "uniform"}, {"warm_samples": 0}):
        plain = MaskedPPO(shaping=False, encoder=False, **begun, **SMALL)  # type: ignore[arg-type]
        assert len(plain.search(shared(), 8, seed=0).history) == 8
    assert len(MaskedPPO(**SMALL).search(shared(), 8, seed=0).history) < 8  # type: ignore[arg-type]


def test_another_warm_start_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"warm_start.*knapsacks"):
        make_searcher("masked-ppo", warm_start="greedy")
