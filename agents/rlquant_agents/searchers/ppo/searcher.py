"""PPO on the layerwise environment: Stable-Baselines3's, plain and with action masks."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from rlquant.ambient import seeded
from rlquant_agents.search.closing import closed_after
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import EPISODES_PER_EVALUATION, Session
from rlquant_agents.searchers.expected_increases import SOURCE
from rlquant_agents.searchers.ppo.evaluated_together import EvaluatedTogether
from rlquant_agents.searchers.ppo.event_logger import logger_into
from rlquant_agents.searchers.ppo.greedy import AskGreedily
from rlquant_agents.searchers.ppo.imitation import Demonstrations
from rlquant_agents.searchers.ppo.layer_encoder import LayerEncoder
from rlquant_agents.searchers.ppo.shaping import ShapedByIncreases
from rlquant_agents.searchers.ppo.side_information import SideInformation
from rlquant_envs import LayerwiseQuantization
from rlquant_envs.action_table import Action
from rlquant_envs.observation import Observation

WARM_STARTS = ("knapsacks", "uniform")
MOST_DECISIONS, LEAST_SAMPLES = 9600, 30
"""Decisions that a new policy is fitted to, at most, but for so many configurations."""


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """What the agent of a search learns on.

    Attributes:
        session: evaluates.
        seed: of the search.
        known: what gradients say of the session's problem, where the agent uses it.
    """

    session: Session
    seed: int
    known: SideInformation | None = None


@dataclass(frozen=True, kw_only=True)
class PPOSearch(Searcher):
    """Proximal policy optimisation (Schulman et al. 2017), one environment step a layer.

    An episode that ends in a known configuration costs no evaluation but still teaches.

    Attributes:
        environments: episodes that run side by side, or as many as a batch has where those are
            more; one forward pass of the policy serves all, and they are evaluated together.
        episodes: episodes between two updates, a multiple of `environments`.
        learning_rate: Adam's.
        epochs: passes over the episodes of an update.
        minibatches: parts that a pass is cut into.
        entropy: weight of the entropy bonus.
        clip: PPO's clip range.
        gae_lambda: of the generalised advantage estimate; nothing is discounted.
        hidden: width of the two hidden layers.
    """

    environments: int = 4
    episodes: int = 8
    learning_rate: float = 3e-3
    epochs: int = 8
    minibatches: int = 4
    entropy: float = 0.01
    clip: float = 0.2
    gae_lambda: float = 0.95
    hidden: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "environments", "episodes", "epochs", "minibatches", "hidden")
        self.require_number("learning_rate", "clip", above=0.0)
        self.require_number("entropy", "gae_lambda", least=0.0)
        self.require_number("gae_lambda", most=1.0)

    @abstractmethod
    def algorithm(self) -> type[OnPolicyAlgorithm]:
        """Return the algorithm's class."""

    def explore(self, session: Session, seed: int) -> None:
        """Let the agent learn until the evaluations are spent."""
        layers = len(session.feasible)
        steps = EPISODES_PER_EVALUATION * session.evaluations * layers
        with seeded(seed):
            learning = Learning(session, seed, self.known(session))
            environments = self.make_environments(learning)
            model = self.make_model(environments, layers, seed, self.extractor(learning))
            logger = make_logger(session)
            model.set_logger(logger)
            with closed_after(logger.close):
                self.before_learning(model, learning)
                # one step more than there can be: the session says when it is enough
                model.learn(total_timesteps=steps + 1, callback=self.callback(learning))

    def callback(self, learning: Learning) -> BaseCallback | None:
        """Return what goes along with learning; nothing here."""
        return None

    def known(self, session: Session) -> SideInformation | None:
        """Return what gradients say of the session's problem; nothing here."""
        return None

    def extractor(self, learning: Learning) -> dict[str, Any]:
        """Return the policy's arguments that say how observations are seen; none here."""
        return {}

    def before_learning(self, model: OnPolicyAlgorithm, learning: Learning) -> None:
        """Do what comes before the first rollout; nothing here."""

    def make_environments(self, learning: Learning) -> VecEnv:
        """Return the environments, all asking the same session."""

        def make() -> gymnasium.Env[Observation, Action]:
            return self.make_environment(learning)

        count = max(self.environments, learning.session.batch)
        return VecMonitor(EvaluatedTogether([make] * count, learning.session))

    def make_environment(self, learning: Learning) -> gymnasium.Env[Observation, Action]:
        """Return one environment."""
        return LayerwiseQuantization(learning.session, reward=self.reward)

    def make_model(
        self,
        environments: VecEnv,
        layers: int,
        seed: int,
        extractor: dict[str, Any] | None = None,
    ) -> OnPolicyAlgorithm:
        """Return a new agent for episodes of `layers` steps; see `extractor`."""
        count = environments.num_envs
        rollout = max(1, self.episodes // count) * layers
        settings: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "n_steps": rollout,
            "batch_size": max(2, rollout * count // self.minibatches),
            "n_epochs": self.epochs,
            "gamma": 1.0,
            "gae_lambda": self.gae_lambda,
            "clip_range": self.clip,
            "ent_coef": self.entropy,
            "policy_kwargs": {"net_arch": [self.hidden, self.hidden], **(extractor or {})},
            "device": "cpu",  # a small policy is slower anywhere else
        }
        return self.algorithm()("MlpPolicy", environments, seed=seed, **settings)


@dataclass(frozen=True, kw_only=True)
class MaskedPPO(PPOSearch):
    """PPO that never samples an option that cannot fit the budget (Huang and Ontanon 2022).

    Of a problem with many layers whose gradients tell expected increases of the loss, these say
    what a new policy is fitted to, shape its rewards, and are seen by its encoder, each where it is
    asked for; without them policies begin with configurations drawn uniformly.

    Attributes:
        warm_start: "knapsacks" of expected increases, drawn around them, or "uniform".
        shaping: whether decisions are paid at once, see `ShapedByIncreases`.
        encoder: whether the policy sees all layers, see `LayerEncoder`.
        greedy: whether its likeliest configuration is asked for before every rollout.
        warm_samples: configurations that a new policy is fitted to; 0 for none, and fewer where
            they have many layers, see `MOST_DECISIONS`.
        warm_epochs: passes over them.
        warm_learning_rate: of that fit.
    """

    name: ClassVar[str] = "masked-ppo"

    warm_start: str = "knapsacks"
    shaping: bool = True
    encoder: bool = True
    greedy: bool = True
    warm_samples: int = 300
    warm_epochs: int = 15
    warm_learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("warm_start", WARM_STARTS)
        self.require_whole(0, "warm_samples", "warm_epochs")
        self.require_number("warm_learning_rate", above=0.0)

    def callback(self, learning: Learning) -> BaseCallback | None:
        """Return what asks for the likeliest configurations, where they are asked for."""
        env = LayerwiseQuantization(learning.session, reward=self.reward)
        return AskGreedily(env) if self.greedy else None

    def known(self, session: Session) -> SideInformation | None:
        """Return what gradients say, where it is asked for and they do."""
        shown = self.warm_start == "knapsacks" and self.warm_samples > 0
        wanted = shown or self.shaping or self.encoder
        return SideInformation.of(session) if wanted else None

    def extractor(self, learning: Learning) -> dict[str, Any]:
        """Return the encoder over all layers, where there is one."""
        if learning.known is None or not self.encoder:
            return {}
        return {
            "features_extractor_class": LayerEncoder,
            "features_extractor_kwargs": {"layers": learning.known.layers()},
        }

    def make_environment(self, learning: Learning) -> gymnasium.Env[Observation, Action]:
        """Return one environment, shaped or not."""
        plain, known = LayerwiseQuantization(learning.session, reward=self.reward), learning.known
        return plain if known is None or not self.shaping else ShapedByIncreases(plain, known)

    def before_learning(self, model: OnPolicyAlgorithm, learning: Learning) -> None:
        """Fit the new policy to configurations; of knapsacks the first is evaluated."""
        if not self.warm_samples:
            return
        session, known = learning.session, learning.known
        generator = np.random.default_rng(learning.seed)
        affordable = max(LEAST_SAMPLES, MOST_DECISIONS // len(session.feasible))
        count = min(self.warm_samples, affordable)
        if known is None or self.warm_start == "uniform":
            shown = np.array([session.feasible.sample(generator) for _ in range(count)])
        else:
            shown = known.solutions(count, generator)
            first = shown[0].tolist()  # so that the answer is no worse than what was shown
            session.propose(SOURCE, [first])
            session.ask_indices(first)
        Demonstrations.of(session, shown).teach(
            model,
            epochs=self.warm_epochs,
            learning_rate=self.warm_learning_rate,
            generator=generator,
        )

    def algorithm(self) -> type[OnPolicyAlgorithm]:
        """Return sb3-contrib's MaskablePPO."""
        found: type[OnPolicyAlgorithm] = MaskablePPO
        return found


@dataclass(frozen=True, kw_only=True)
class PlainPPO(PPOSearch):
    """PPO without masks: what does not fit is repaired by the environment."""

    name: ClassVar[str] = "ppo"

    def algorithm(self) -> type[OnPolicyAlgorithm]:
        """Return Stable-Baselines3's PPO."""
        return PPO


def make_logger(session: Session) -> Logger:
    """Return a logger that writes PPO's own losses beside the search's, or nowhere."""
    log = session.event_log
    return Logger(None, []) if log is None else logger_into(log)
