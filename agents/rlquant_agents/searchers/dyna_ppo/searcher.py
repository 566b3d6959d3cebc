"""Model-based PPO: a surrogate fitted to evaluations, and a policy trained on its rollouts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.logger import Logger

from rlquant import Problem
from rlquant.ambient import seeded
from rlquant.cost.feasible import Indices
from rlquant.errors import SettingsError
from rlquant.problem.protocol import racing_of
from rlquant_agents.search.closing import closed_after
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import SearchEnded, Session
from rlquant_agents.search.token_racing import require_tokenized, survivors, token_stages
from rlquant_agents.searchers.dyna_ppo.agent import PPOSettings
from rlquant_agents.searchers.dyna_ppo.beginning import begin
from rlquant_agents.searchers.dyna_ppo.simulated_policy import PolicySettings, SimulatedPolicy
from rlquant_agents.searchers.expected_increases import SOURCE
from rlquant_agents.searchers.ppo.searcher import make_logger
from rlquant_agents.surrogate.acquisition import (
    Acquisition,
    ExpectedImprovement,
    UpperConfidenceBound,
    select_batch,
)
from rlquant_agents.surrogate.neighbours import random_changes, single_changes
from rlquant_agents.surrogate.observations import Observations
from rlquant_agents.surrogate.weight_error import Effects

Floats = npt.NDArray[np.float64]

AGENTS = ("pretrained", "fresh")
N_RANDOM_CANDIDATES = 200
"""Configurations that a round draws against stagnation, beside the other candidates."""
EXPLORATION_COEFFICIENT = 1.0
"""Of the upper confidence bound when patience ends, and as much more each time it ends again."""
POLICY = "the policy"
"""The source of what it plays."""
N_LIMITS = 24
"""Limits under which improvements count where a whole front is searched for."""


@dataclass(frozen=True, kw_only=True)
class DynaPPO(Searcher):
    """Masked PPO in rounds: fit a surrogate, train on its rollouts, evaluate a batch.

    A round fits a Gaussian process to all evaluations so far, trains the policy on simulated
    episodes whose reward is an optimistic prediction, and evaluates those of its configurations
    (and of the neighbours of the best one) with the largest expected improvement. Rollouts cost no
    evaluation. Where gradients tell the increases of many layers there is no policy: knapsacks of
    increases that are drawn around what evaluations made of them take its place.

    Attributes:
        agent: what the policy is in the beginning: "pretrained" on other networks, or "fresh", the
            soft knapsack over what is known of the layers.
        sensitivities: whether each option is measured at each layer alone before anything else;
            with many layers as `knapsack` does it, with what it solves in between.
        first: configurations of the policy that are evaluated before the first round.
        batch: configurations evaluated in a round, each chosen as if those before it had measured
            what is predicted of them; by default 4, or twice as many as there are workers.
        rollouts: updates of the policy in a round; 0 for a policy that never learns.
        environments: episodes of an update, side by side; fewer where they are long, see
            `PolicySettings`.
        neighbours: configurations drawn near the best one, beside all that differ from it in one
            layer; 0 for none of both.
        optimism: standard deviations that a rollout's reward lies above the prediction.
        shaping: whether rollouts charge each decision at once with what it loses of the knapsack
            that is left; the sum stays the same but for a constant (Ng et al. 1999).
        patience: evaluations without a better one (stagnation) after which every other round
            maximises an upper confidence bound in place of the expected improvement, with random
            configurations among the candidates.
        tokens: of stages in which a round's candidates race before the best are evaluated whole,
            e.g. (2048,); () for no race. Counted by their share of an evaluation's tokens.
        raced: candidates that begin a stage for each that is left of it.
        lowest: smallest limit, where the search is for a whole front between it and the budget, in
            the budget's unit; None for the budget alone.
        learning_rate: Adam's.
        epochs: passes over the episodes of an update.
        minibatches: parts that a pass is cut into.
        entropy: weight of the entropy bonus.

    Sources: Sutton 1991, "Dyna"; Angermueller et al. 2020, "Model-based reinforcement learning for
    biological sequence design" (DyNA-PPO).
    """

    name: ClassVar[str] = "dyna-ppo"

    least_batch: ClassVar[int] = 4

    agent: str = "pretrained"
    sensitivities: bool = False
    first: int = 8
    rollouts: int = 1
    environments: int = 64
    neighbours: int = 200
    optimism: float = 1.0
    shaping: bool = False
    patience: int = 40
    tokens: tuple[int, ...] = ()
    raced: int = 4
    lowest: float | None = None
    learning_rate: float = 1e-3
    epochs: int = 3
    minibatches: int = 2
    entropy: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("agent", AGENTS)
        self.require_whole(1, "first", "patience", "environments")
        self.require_whole(1, "epochs", "minibatches")
        self.require_whole(0, "rollouts", "neighbours")
        self.require_whole(2, "raced")
        object.__setattr__(self, "tokens", token_stages(self._tokens, self.tokens))
        self.require_number("learning_rate", above=0.0)
        self.require_number("optimism", "entropy", least=0.0)
        if self.lowest is not None:
            self.require_number("lowest", above=0.0)

    @property
    def _tokens(self) -> str:
        return f"searcher {self.name!r}: tokens"

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` for stages or a limit that cannot be, or a front of races."""
        require_tokenized(self._tokens, self.tokens, problem)
        if self.lowest is None:
            return
        if racing_of(problem) is not None:
            raise SettingsError(
                f"searcher {self.name!r}: lowest={self.lowest!r} searches for a front, on which "
                f"small configurations lose every race; leave out racing, or lowest"
            )
        feasible = problem.feasible
        if not feasible.smallest <= feasible.cost.units(self.lowest) <= feasible.limit:
            raise SettingsError(
                f"searcher {self.name!r}: lowest={self.lowest!r}, use a limit between the smallest "
                f"reachable, {feasible.cost.value(feasible.smallest):g}, and the budget, "
                f"{problem.budget}"
            )

    def explore(self, session: Session, seed: int) -> None:
        """Fit, roll out, evaluate, and again, until the evaluations are spent."""
        with seeded(seed):
            logger = make_logger(session)
            with closed_after(logger.close):
                _Exploration(self, session, seed, logger).run()

    @property
    def policy(self) -> PolicySettings:
        """How the policy begins and is trained."""
        ppo = PPOSettings(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            minibatches=self.minibatches,
            entropy=self.entropy,
        )
        return PolicySettings(
            pretrained=self.agent == "pretrained",
            rollouts=self.rollouts,
            environments=self.environments,
            shaping=self.shaping,
            ppo=ppo,
        )


def _holds(rows: Indices, row: Indices) -> bool:
    return bool((rows == row).all(axis=1).any())


class _Exploration:
    """One search: its surrogate, its policy, and what it has observed."""

    def __init__(self, settings: DynaPPO, session: Session, seed: int, logger: Logger) -> None:
        self._settings, self._session = settings, session
        self._seed, self._logger = seed, logger
        self._feasible, self._options = session.feasible, len(session.feasible.options)
        self._generator = np.random.default_rng(seed)
        self._lowest = self._lowest_limit()
        self._limit = float(self._feasible.limit)
        self._observed = Observations(session)
        self._best = 0.0

    def run(self) -> None:
        """Go on until the session ends it."""
        beginning = begin(self._session, sensitivities=self._settings.sensitivities)
        self._surrogate, self._further = beginning.surrogate, beginning.candidates
        self._policy = self._new_policy(beginning.effects) if beginning.answers is None else None
        self._observed.update()
        self._observed.evaluate(self._first(beginning.answers))
        for round_ in itertools.count():
            self._choose_limit()
            self._surrogate.fit(self._observed.rows, self._observed.log_losses)
            base, self._best = self._incumbent()
            found = self._found(base)
            candidates = self._unknown(found)
            acquisition: Acquisition = self._expected_improvement()
            if self._observed.stagnation > self._settings.patience and round_ % 2:
                candidates = self._with_random(candidates)
                acquisition = self._upper_confidence_bound()
            batch = self._raced(candidates, acquisition)
            for source, rows in reversed(found.items()):  # the rarer first
                self._session.propose(source, [row for row in batch if _holds(rows, row)])
            self._observed.evaluate(batch)

    def _raced(self, candidates: Indices, acquisition: Acquisition) -> Indices:
        """Return the batch of a round, of more candidates where they race on few tokens."""
        stages = self._settings.tokens
        places = range(len(stages), -1, -1)
        sizes = [self._session.batch * self._settings.raced**place for place in places]
        rows = select_batch(candidates, sizes[0], self._surrogate, acquisition)
        return survivors(self._session, rows, stages, sizes)

    def _new_policy(self, effects: Effects | None) -> SimulatedPolicy:
        return SimulatedPolicy(
            self._session,
            effects,
            self._limits,
            self._predicted_rewards,
            self._seed,
            self._settings.policy,
            self._logger,
        )

    def _first(self, answers: Indices | None) -> Indices:
        """Return what is evaluated before the first round: solutions, or what the policy says."""
        if self._policy is None:
            assert answers is not None
            self._session.propose(SOURCE, answers)
            return answers
        found = self._policy.untrained_answers(self._spread_limits(self._policy.count))
        first = self._observed.unknown(found.tolist())[: self._settings.first]
        self._session.propose(POLICY, first)
        return first

    def _choose_limit(self) -> None:
        """Draw the limit of the round, where there are several."""
        if self._lowest < self._feasible.limit:
            drawn = self._generator.uniform(self._lowest, self._feasible.limit)
            self._limit = float(np.floor(drawn))

    def _incumbent(self) -> tuple[Indices, float]:
        """Return the best row within the limit and its log loss, the cheapest where none is."""
        best = self._observed.best(self._limit)
        if best is not None:
            return best
        cheapest = self._feasible.costs.argmin(axis=1)
        return cheapest, float(self._observed.log_losses.max())

    def _expected_improvement(self) -> ExpectedImprovement:
        """Return the acquisition function: under one limit, or under some over the whole range."""
        limits = np.array([self._limit])
        if self._lowest < self._feasible.limit:
            limits = self._spread_limits(N_LIMITS)
        worst = float(self._observed.log_losses.max())
        bests = [found[1] if (found := self._observed.best(limit)) else worst for limit in limits]
        return ExpectedImprovement(limits, np.array(bests), self._observed.spent)

    def _upper_confidence_bound(self) -> UpperConfidenceBound:
        """Return the acquisition function against stagnation: the longer, the more exploration."""
        stagnation = self._observed.stagnation / self._settings.patience
        coefficient = EXPLORATION_COEFFICIENT * (1 + stagnation)
        return UpperConfidenceBound(self._limit, self._observed.spent, coefficient)

    def _with_random(self, rows: Indices) -> Indices:
        """Return rows, and unknown ones drawn uniformly from all that keep the budget."""
        drawn = [self._feasible.sample(self._generator) for _ in range(N_RANDOM_CANDIDATES)]
        return np.concatenate([rows, self._observed.unknown(np.array(drawn).tolist())])

    def _found(self, base: Indices) -> dict[str, Indices]:
        """Return what may be evaluated next, by where it comes from."""
        found = {}
        if self._policy is not None:
            self._policy.show(self._surrogate.effects(base) / self._surrogate.spread)
            limits = np.full(self._policy.count, self._limit)
            found[POLICY] = self._policy.trained_answers(limits)
        if self._settings.neighbours:
            options, count = self._options, self._settings.neighbours
            near = {
                "a change of one layer": single_changes(base, options),
                "a change of some layers": random_changes(base, options, count, self._generator),
            }
            for source, rows in near.items():
                found[source] = rows[self._observed.spent(rows) <= self._limit]
        if self._further is not None:
            found["a knapsack of increases that evaluations moved"] = self._further(self._generator)
        return found

    def _unknown(self, found: Mapping[str, Indices]) -> Indices:
        """Return what was found and is not known; where all is known, what is one change away."""
        rows = self._observed.unknown(np.concatenate(list(found.values())).tolist())
        return rows if len(rows) else self._frontier()

    def _frontier(self) -> Indices:
        """Return the unknown rows one change away from a known one, the best of which comes first.

        Within a budget everything is reached by single changes, so that only where nothing is left
        nothing is found.
        """
        for row in self._observed.rows[np.argsort(self._observed.log_losses, kind="stable")]:
            near = single_changes(row, self._options)
            within = near[self._observed.spent(near) <= self._feasible.limit]
            rows = self._observed.unknown(within.tolist())
            if len(rows):
                return rows
        raise SearchEnded("exhausted")

    def _predicted_rewards(self, rows: Indices, limits: Floats) -> Floats:
        """Return by how much rows may be better than the best, in spreads of the log losses."""
        expected, deviation = self._surrogate.predict(rows)
        optimistic = expected - self._settings.optimism * deviation
        return (self._best - optimistic) / self._surrogate.spread

    def _limits(self, count: int) -> Floats:
        return np.full(count, self._limit)

    def _spread_limits(self, count: int) -> Floats:
        return np.floor(np.linspace(self._limit, min(self._lowest, self._limit), count))

    def _lowest_limit(self) -> int:
        lowest = self._settings.lowest
        return self._feasible.limit if lowest is None else self._feasible.cost.units(lowest)
