"""The policy's own forward pass gives the numbers of sb3-contrib's distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from rlquant_agents.searchers.dyna_ppo.option_features import (
    MOST,
    OPTION_FEATURES,
    STATE_FEATURES,
)
from rlquant_agents.searchers.dyna_ppo.option_policy import OptionPolicy

OPTIONS = 5
SIZE = len(STATE_FEATURES) + OPTIONS * len(OPTION_FEATURES)


@pytest.fixture(scope="module")
def policy() -> OptionPolicy:
    torch.manual_seed(0)
    space = Box(0.0, MOST, shape=(SIZE,), dtype=np.float32)
    found = OptionPolicy(space, Discrete(OPTIONS), lambda _: 1e-3, hidden=8)
    torch.nn.init.normal_(found.mlp_extractor.score.weight)  # type: ignore[union-attr,arg-type]
    return found


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), greedy=st.booleans(), masked=st.booleans())
def test_forward_equals_the_base_class(
    policy: OptionPolicy, seed: int, greedy: bool, masked: bool
) -> None:
    draw = np.random.default_rng(seed)
    seen = torch.as_tensor(draw.uniform(0, MOST, (7, SIZE)), dtype=torch.float32)
    masks = draw.random((7, OPTIONS)) < 0.5
    masks[:, 0] = True
    results = []
    for forward in (OptionPolicy.forward, MaskableActorCriticPolicy.forward):
        torch.manual_seed(seed)
        with torch.no_grad():
            results.append(forward(policy, seen, greedy, masks if masked else None))
    for own, expected in zip(*results, strict=True):
        assert torch.equal(own, expected)
