"""A policy that scores every option by the same small network: it fits any number of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import Space
from gymnasium.spaces import Discrete
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from rlquant_agents.searchers.dyna_ppo.option_features import OPTION_FEATURES, STATE_FEATURES

FIRST_SHARPNESS = 2.0
"""How strongly a new policy shuns regret: logits fall by so much for each average step."""
MASKED = -1e8
"""Logit of what does not fit, as in sb3-contrib."""


class OptionScorer(nn.Module):
    """Logits of options, and what values are made of, from the observations of `OptionFeatures`.

    A new scorer is the soft knapsack: minus the option's regret, times a sharpness that is learnt.
    What the network adds begins at zero (residual policy learning, Silver et al. 2018).
    """

    def __init__(self, options: int, hidden: int) -> None:
        super().__init__()
        self.latent_dim_pi, self.latent_dim_vf = options, hidden
        self._options = options
        states, features = len(STATE_FEATURES), len(OPTION_FEATURES)
        self.sharpness = nn.Parameter(torch.tensor(FIRST_SHARPNESS).log())
        self.state = nn.Linear(states, hidden)
        self.option = nn.Linear(features, hidden, bias=False)
        self.inner = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1)
        self.critic_state = nn.Linear(states, hidden)
        self.critic_options = nn.Linear(features, hidden, bias=False)
        self.critic = nn.Linear(hidden, hidden)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `(n, options)` and value features `(n, hidden)`."""
        return self.forward_actor(observations), self.forward_critic(observations)

    def forward_actor(self, observations: Tensor) -> Tensor:
        """Return logits, shape `(n, options)`."""
        state, options = self._parts(observations)
        hidden = torch.tanh(self.state(state).unsqueeze(1) + self.option(options))
        learnt: Tensor = self.score(torch.tanh(self.inner(hidden))).squeeze(-1)
        return learnt - self.sharpness.exp() * options[:, :, 0]

    def forward_critic(self, observations: Tensor) -> Tensor:
        """Return what values are a linear function of, shape `(n, hidden)`."""
        state, options = self._parts(observations)
        fitting = options[:, :, -1:]
        mean = (options * fitting).sum(dim=1) / fitting.sum(dim=1).clamp(min=1.0)
        hidden = torch.tanh(self.critic_state(state) + self.critic_options(mean))
        return torch.tanh(self.critic(hidden))

    def _parts(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        states = len(STATE_FEATURES)
        options = observations[:, states:].reshape(len(observations), self._options, -1)
        return observations[:, :states], options


def _normalized(logits: Tensor) -> Tensor:
    """Return logits that are log probabilities."""
    return logits - logits.logsumexp(dim=-1, keepdim=True)


class OptionPolicy(MaskableActorCriticPolicy):
    """sb3-contrib's masked policy around an `OptionScorer`."""

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        rates: Schedule,
        *,
        hidden: int,
    ) -> None:
        self._hidden = hidden
        super().__init__(observation_space, action_space, rates, net_arch=[], ortho_init=False)

    def forward(
        self,
        obs: Tensor,
        deterministic: bool = False,
        action_masks: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions, values and log probabilities, those of the base class bit for bit.

        Distribution objects, and checks of what they are given, take the base class longer than
        the network takes, and an episode of 200 layers has as many steps.
        """
        scores, state = self.mlp_extractor(obs)
        logits = _normalized(scores)
        if action_masks is not None:
            masks = torch.as_tensor(action_masks, device=logits.device).reshape(logits.shape)
            logits = logits.where(masks, MASKED)
        logits = _normalized(logits)
        probabilities = logits.softmax(dim=-1)
        if deterministic:
            actions = probabilities.argmax(dim=1)
        else:
            actions = torch.multinomial(probabilities, 1, replacement=True)[:, 0]
        log_probabilities = logits.gather(1, actions[:, None])[:, 0]
        return actions, self.value_net(state), log_probabilities

    def _build_mlp_extractor(self) -> None:
        assert isinstance(self.action_space, Discrete)
        scorer = OptionScorer(int(self.action_space.n), self._hidden)
        self.mlp_extractor = scorer  # type: ignore[assignment]  # takes the place of an MLP

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()  # the scorer's outputs are the logits
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]  # every optimizer has one
            **self.optimizer_kwargs,
        )
