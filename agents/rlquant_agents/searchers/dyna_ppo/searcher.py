"""Model-based PPO: a surrogate fitted to evaluations, and a policy trained on its rollouts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from rlquant import Problem
from rlquant.ambient import seeded
from rlquant.cost.feasible import Indices
from rlquant.errors import SettingsError
from rlquant.problem.protocol import racing_of
from rlquant_agents.search.closing import closed_after
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import SearchEnded, Session
from rlquant_agents.searchers.dyna_ppo.agent import PPOSettings, answers, make_agent, train
from rlquant_agents.searchers.dyna_ppo.option_features import OptionFeatures
from rlquant_agents.searchers.dyna_ppo.pretrained import load_pretrained
from rlquant_agents.searchers.dyna_ppo.rollouts import ImaginedEpisodes
from rlquant_agents.searchers.ppo.searcher import make_logger
from rlquant_agents.searchers.sensitivity import measure_effects
from rlquant_agents.surrogate.acquisition import Hope, Improvement, Worth, most_promising
from rlquant_agents.surrogate.known import Known
from rlquant_agents.surrogate.landscape import Landscape
from rlquant_agents.surrogate.neighbours import changed_once, changed_twice

Floats = npt.NDArray[np.float64]

AGENTS = ("pretrained", "fresh")
DRAWN = 200
"""Configurations that a search at rest draws in a round."""
DARING = 1.0
"""Deviations that it hopes for, and as many more each time that its patience ends again."""
LIMITS = 24
"""Limits under which improvements count where a whole front is searched for."""


@dataclass(frozen=True, kw_only=True)
class DynaPPO(Searcher):
    """Masked PPO in rounds: learn the landscape, train in it, measure what promises most.

    A round fits a Gaussian process to everything measured so far, lets the policy play episodes
    whose reward is an optimistic prediction, and measures those of its configurations (and of the
    neighbours of the best one) from which most improvement is expected. Practice costs no
    evaluation.

    Attributes:
        agent: what the policy is in the beginning: "pretrained" on other networks, or "fresh", the
            soft knapsack over what is known of the layers.
        sensitivities: whether each option is measured at each layer alone before anything else.
        first: configurations of the policy that are measured before the first round.
        batch: configurations measured in a round.
        rollouts: updates of the policy in a round; 0 for a policy that never learns.
        environments: episodes of an update, side by side.
        neighbours: configurations drawn near the best one, beside all that differ from it in one
            layer; 0 for none of both.
        optimism: standard deviations that predictions are taken to be better by, in practice.
        shaping: whether practice charges each decision at once with what it loses of the knapsack
            that is left; the sum stays the same but for a constant (Ng et al. 1999).
        patience: evaluations without a better one, after which every other round measures what may
            be best in place of what is expected to be, drawn configurations among it.
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

    agent: str = "pretrained"
    sensitivities: bool = False
    first: int = 8
    batch: int = 4
    rollouts: int = 1
    environments: int = 64
    neighbours: int = 200
    optimism: float = 1.0
    shaping: bool = False
    patience: int = 40
    lowest: float | None = None
    learning_rate: float = 1e-3
    epochs: int = 3
    minibatches: int = 2
    entropy: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("agent", AGENTS)
        self.require_whole(1, "first", "batch", "patience", "environments")
        self.require_whole(1, "epochs", "minibatches")
        self.require_whole(0, "rollouts", "neighbours")
        self.require_number("learning_rate", above=0.0)
        self.require_number("optimism", "entropy", least=0.0)
        if self.lowest is not None:
            self.require_number("lowest", above=0.0)

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` for a lowest limit that cannot be, or a front of races."""
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
        """Measure, learn, train, and again, until the evaluations are spent."""
        with seeded(seed):
            logger = make_logger(session)
            with closed_after(logger.close):
                exploration = _Exploration(self, session, seed)
                exploration.model.set_logger(logger)
                exploration.run()

    @property
    def ppo(self) -> PPOSettings:
        """PPO's own settings."""
        return PPOSettings(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            minibatches=self.minibatches,
            entropy=self.entropy,
        )


class _Exploration:
    """One search: its landscape, its policy, and what it knows."""

    def __init__(self, settings: DynaPPO, session: Session, seed: int) -> None:
        self._settings, self._session = settings, session
        self._feasible = session.feasible
        self._generator = np.random.default_rng(seed)
        self._lowest = self._lowest_limit()
        self._limit = float(self._feasible.limit)
        self._features = OptionFeatures(session)
        self._landscape = Landscape(session.layers, self._feasible.options)
        self._known = Known(session)
        self._best = 0.0
        self._episodes = ImaginedEpisodes(
            self._features,
            settings.environments,
            self._limits,
            self._promise,
            shaping=settings.shaping,
        )
        self.model = make_agent(self._episodes, len(session.layers), seed, settings.ppo)
        if settings.agent == "pretrained":
            load_pretrained(self.model.policy)

    def run(self) -> None:
        """Go on until the session ends it."""
        if self._settings.sensitivities:
            self._features.set_effects(measure_effects(self._session))
            self._known.read()
        self._known.ask(self._first())
        for round_ in itertools.count():
            self._aim()
            self._landscape.learn(self._known.rows, self._known.damages)
            base, self._best = self._standing()
            self._features.set_effects(self._landscape.effects(base) / self._landscape.spread)
            rows = self._unknown(base)
            worth: Worth = self._improvement()
            if self._known.at_rest > self._settings.patience and round_ % 2:
                rows, worth = self._with_drawn(rows), self._hope()
            chosen = most_promising(rows, self._settings.batch, self._landscape, worth)
            self._known.ask(chosen)

    def _first(self) -> Indices:
        """Return the policy's likeliest configurations, and draws of it, as far as they differ."""
        limits = self._spread_limits(self._settings.environments)
        likeliest = answers(
            self.model, self._features, limits[:: len(limits) // 4 or 1], greedy=True
        )
        drawn = answers(self.model, self._features, limits, greedy=False)
        rows = self._known.unknown(np.concatenate([likeliest, drawn]).tolist())
        return rows[: self._settings.first]

    def _aim(self) -> None:
        """Choose the limit of the round, where there are several."""
        if self._lowest < self._feasible.limit:
            drawn = self._generator.uniform(self._lowest, self._feasible.limit)
            self._limit = float(np.floor(drawn))

    def _standing(self) -> tuple[Indices, float]:
        """Return the best row within the limit and its damage, the least costly where none is."""
        best = self._known.best(self._limit)
        if best is not None:
            return best
        cheapest = self._feasible.costs.argmin(axis=1)
        return cheapest, float(self._known.damages.max())

    def _improvement(self) -> Improvement:
        """Return what rows are worth: under the one limit, or under some over the whole range."""
        limits = np.array([self._limit])
        if self._lowest < self._feasible.limit:
            limits = self._spread_limits(LIMITS)
        worst = float(self._known.damages.max())
        bests = [found[1] if (found := self._known.best(limit)) else worst for limit in limits]
        return Improvement(limits, np.array(bests), self._known.spent)

    def _hope(self) -> Hope:
        """Return what rows are worth to a search at rest: the longer it rests, the more daring."""
        deviations = DARING * (1 + self._known.at_rest / self._settings.patience)
        return Hope(self._limit, self._known.spent, deviations)

    def _with_drawn(self, rows: Indices) -> Indices:
        """Return rows, and unknown ones drawn uniformly from all that keep the budget."""
        drawn = [self._feasible.sample(self._generator) for _ in range(DRAWN)]
        return np.concatenate([rows, self._known.unknown(np.array(drawn).tolist())])

    def _unknown(self, base: Indices) -> Indices:
        """Return what may be measured next: the policy's episodes, and neighbours of the best."""
        found = [self._practised()]
        if self._settings.neighbours:
            options, count = self._features.options, self._settings.neighbours
            near = changed_once(base, options), changed_twice(base, options, count, self._generator)
            found += [rows[self._known.spent(rows) <= self._limit] for rows in near]
        rows = self._known.unknown(np.concatenate(found).tolist())
        return rows if len(rows) else self._frontier()

    def _frontier(self) -> Indices:
        """Return what is not known one change away from what is, the best known first.

        Within a budget everything is reached by single changes, so that only where nothing is left
        nothing is found.
        """
        known = self._known.rows
        for row in known[np.argsort(self._known.damages, kind="stable")]:
            near = changed_once(row, self._features.options)
            within = near[self._known.spent(near) <= self._feasible.limit]
            rows = self._known.unknown(within.tolist())
            if len(rows):
                return rows
        raise SearchEnded("exhausted")

    def _practised(self) -> Indices:
        """Return the configurations of the policy's episodes, and its likeliest one."""
        self._episodes.finished.clear()
        self.model.set_env(self._episodes)  # new episodes: those that had begun saw other effects
        for _ in range(self._settings.rollouts):
            train(self.model)
        limits = np.full(self._settings.environments, self._limit)
        played = [rows for rows, _ in self._episodes.finished]
        if not played:
            played = [answers(self.model, self._features, limits, greedy=False)]
        likeliest = answers(self.model, self._features, limits[:1], greedy=True)
        return np.concatenate([*played, likeliest])

    def _promise(self, rows: Indices, limits: Floats) -> Floats:
        """Return by how much rows may be better than the best, in spreads of what was measured."""
        expected, deviation = self._landscape.predict(rows)
        hoped = expected - self._settings.optimism * deviation
        return (self._best - hoped) / self._landscape.spread

    def _limits(self, count: int) -> Floats:
        return np.full(count, self._limit)

    def _spread_limits(self, count: int) -> Floats:
        return np.floor(np.linspace(self._limit, min(self._lowest, self._limit), count))

    def _lowest_limit(self) -> int:
        lowest = self._settings.lowest
        return self._feasible.limit if lowest is None else self._feasible.cost.units(lowest)
