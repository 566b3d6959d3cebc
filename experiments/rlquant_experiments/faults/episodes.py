"""Random episodes and searches under random budgets, beside every configuration counted out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from rlquant import Budget, RlquantError, SearchSpace, TabularProblem
from rlquant.config import POINTS, PRESCRIBED_BITS, ROUNDINGS, LayerChoice, decisions_apart
from rlquant.cost.budget import Quantity
from rlquant.score import Score
from rlquant.testing import random_table
from rlquant_agents import search_problem, searchers
from rlquant_envs import TabularQuantization, TabularVectorQuantization
from rlquant_experiments.faults.campaign import Fault, Trial, fault_of, require

MOST_CONFIGURATIONS = 3000
QUANTITIES = tuple(q for q in get_args(Quantity) if q != "latency")
SLOW_SEARCHERS = {"dyna-ppo", "masked-ppo", "ppo", "auto", "pairwise"}

Indices = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Episodes:
    """Plays episodes and searches on a random table under a random budget."""

    name: str = "episodes"
    promise: str = (
        "no episode and no search exceeds its budget, whatever is asked for; masks and counts are "
        "those of all configurations counted out; an action that does not fit gives way to the "
        "nearest that does; many episodes at once go as one alone"
    )
    share: float = 2.0
    limit: float = 120.0

    def trial(self, seed: int) -> Trial:
        """Return the episodes that a seed decides."""
        return Trial("random episodes", seed, partial(_try, seed))


def _try(seed: int, folder: Path) -> Fault:
    draw = random.Random(seed)
    problem = random_problem(draw)
    try:
        everything = Counted(problem)
        everything.require_counts(draw)
        play(problem, everything, draw)
        if draw.random() < 0.3:
            play_at_once(problem, draw)
        if draw.random() < 0.3:
            search_at_random(problem, draw)
    except Exception as error:  # what may come out is for `fault_of` to say
        fault = fault_of(error)
        if fault is None:
            fault = f"{type(error).__name__}: {error}"  # nothing that is asked here is wrong
        return f"{fault}\n  {problem.budget}, {problem.table.groups}, {problem.space}"
    return None


def random_problem(draw: random.Random) -> TabularProblem:
    """Return a small problem with a budget that at least one configuration keeps."""
    while True:
        space = SearchSpace(
            bits=_some(draw, range(1, 9), 4),
            rounding=_some(draw, ROUNDINGS, 2),
            method=_some(draw, ("post_training", "ternary", "float"), 2),
            points=_some(
                draw, [p for p in POINTS if p != "learned" and p not in PRESCRIBED_BITS], 2
            ),
            activation_bits=_some(draw, (None, 2, 4, 8), 2),
        )
        groups = draw.randint(1, 5)
        if len(space.options()) ** groups <= MOST_CONFIGURATIONS:
            break
    table = random_table(groups, interaction=draw.random(), seed=draw.randrange(1000), space=space)
    quantity = draw.choice(QUANTITIES)
    wide = TabularProblem(table, Budget(quantity, 1e12)).feasible
    units = draw.randint(wide.smallest, wide.largest + 1)
    limit = wide.cost.value(units) * draw.choice((1.0, 1.0, 1.0 + 1e-9, 1.3))
    return TabularProblem(table, Budget(quantity, limit))


def _some(draw: random.Random, options: Sequence[Any], most: int) -> tuple[Any, ...]:
    return tuple(draw.sample(list(options), draw.randint(1, most)))


class Counted:
    """Every configuration of a problem with its cost, and which prefixes can still fit."""

    def __init__(self, problem: TabularProblem) -> None:
        self.feasible = problem.feasible
        numbers = range(len(self.feasible.options))
        vectors = itertools.product(numbers, repeat=len(self.feasible))
        costs = self.feasible.costs.tolist()
        fixed = self.feasible.cost.fixed
        limit = problem.budget.limit
        self.fitting: set[Indices] = {
            indices
            for indices in vectors
            if self.feasible.cost.value(fixed + sum(map(list.__getitem__, costs, indices))) <= limit
        }
        self.prefixes = {i[:length] for i in self.fitting for length in range(len(i) + 1)}

    def require_counts(self, draw: random.Random) -> None:
        """Check count, sampling and repair."""
        feasible = self.feasible
        if feasible.exact:
            count = feasible.count()
            require(count == len(self.fitting), f"count() is {count}, fitting {len(self.fitting)}")
        generator = np.random.default_rng(draw.randrange(2**32))
        for _ in range(5):
            drawn = tuple(feasible.sample(generator).tolist())
            require(drawn in self.fitting, f"sample() gave {drawn}, which does not fit")
            wanted = tuple(draw.randrange(len(feasible.options)) for _ in range(len(feasible)))
            repaired = tuple(feasible.repair(wanted).tolist())
            require(repaired in self.fitting, f"repair({wanted}) gave {repaired}: does not fit")
            if wanted in self.fitting:
                require(repaired == wanted, f"repair({wanted}) changed what fits")

    def allowed(self, chosen: Sequence[int]) -> list[bool]:
        """Return which options can follow those chosen so far."""
        return [(*chosen, option) in self.prefixes for option in range(len(self.feasible.options))]


def play(problem: TabularProblem, everything: Counted, draw: random.Random) -> None:
    """Play an episode of actions drawn without a look at the mask."""
    env = TabularQuantization(problem.table, budget=problem.budget)
    env.reset(seed=draw.randrange(1000))
    env.action_space.seed(draw.randrange(1000))
    positions = {option: i for i, option in enumerate(problem.feasible.options)}
    chosen: list[int] = []
    done = False
    while not done:
        allowed = everything.allowed(chosen)
        require(env.allowed_options().tolist() == allowed, f"allowed options after {chosen}")
        mask = _mask(problem, positions, allowed)
        require(env.action_masks().tolist() == mask, f"mask after {chosen}")
        action = env.action_space.sample()
        _, reward, done, _, info = env.step(action)
        executed = info["option"]
        wanted = problem.space.choice("", action.tolist())
        if wanted is not None:
            option = positions[wanted.canonical(problem.fidelity)]
            nearest = _nearest(problem, everything, chosen, option)
            told = f"option {option} after {chosen} became {executed}, nearest is {nearest}"
            require(executed == nearest, told)
            require(info["repaired"] == (executed != option), f"repaired: {info['repaired']}")
        require(allowed[executed], f"option {executed} after {chosen} does not fit")
        chosen.append(executed)
    require(tuple(chosen) in everything.fitting, f"the episode {chosen} is over the budget")
    require(np.isfinite(reward), f"reward {reward}")
    _require_within(problem, info["score"])


def _mask(
    problem: TabularProblem, positions: dict[LayerChoice, int], allowed: Sequence[bool]
) -> list[bool]:
    """Return the mask: which option of each head is in some legal action that fits."""
    heads = problem.space.heads
    good: set[tuple[int, int]] = set()
    for action in itertools.product(*(range(len(head.options)) for head in heads)):
        choice = problem.space.choice("", action)
        if choice is not None and allowed[positions[choice.canonical(problem.fidelity)]]:
            good.update(enumerate(action))
    return [(h, k) in good for h, head in enumerate(heads) for k in range(len(head.options))]


def _nearest(
    problem: TabularProblem, everything: Counted, chosen: Sequence[int], wanted: int
) -> int:
    """Return the allowed option nearest to the wanted one; ties go to the most expensive."""
    allowed = everything.allowed(chosen)
    if allowed[wanted]:
        return wanted
    options, costs = problem.feasible.options, problem.feasible.costs[len(chosen)]

    def distance(option: int) -> tuple[float, int, int]:
        a, b = options[option], options[wanted]
        apart = abs(a.arithmetic_bits - b.arithmetic_bits) + decisions_apart(a, b) / 10
        return apart, -int(costs[option]), option

    return min((option for option, fits in enumerate(allowed) if fits), key=distance)


def _require_within(problem: TabularProblem, score: Score) -> None:
    quantity, limit = problem.budget.quantity, problem.budget.limit
    value = getattr(score, quantity)
    require(value <= limit, f"the score's {quantity} is {value}, the budget {limit}")


def play_at_once(problem: TabularProblem, draw: random.Random) -> None:
    """Play the same actions in one environment alone and in many at once."""
    count = draw.randint(1, 4)
    many = TabularVectorQuantization(problem.table, budget=problem.budget, num_envs=count)
    alone = [TabularQuantization(problem.table, budget=problem.budget) for _ in range(count)]
    many.action_space.seed(draw.randrange(1000))
    seen, _ = many.reset()
    ones = [env.reset()[0] for env in alone]
    for _ in range(len(problem.feasible)):
        require(np.array_equal(seen, np.stack(ones)), "observations differ from those alone")
        masks = np.stack([env.action_masks() for env in alone])
        require(np.array_equal(many.action_masks(), masks), "masks differ from those alone")
        actions = many.action_space.sample()
        seen, rewards, *_, info = many.step(actions)
        stepped = [env.step(action) for env, action in zip(alone, actions, strict=True)]
        ones = [step[0] for step in stepped]
        same = info["option"].tolist() == [step[4]["option"] for step in stepped]
        require(same, "options differ from those alone")
        close = np.allclose(rewards, [step[1] for step in stepped], rtol=1e-12)
        require(close, "rewards differ from those alone")


def search_at_random(problem: TabularProblem, draw: random.Random) -> None:
    """Run a searcher with few evaluations; what it returns keeps the budget and its counts."""
    name = draw.choice([name for name in searchers() if name not in SLOW_SEARCHERS])
    evaluations, seed = draw.randint(1, 20), draw.randrange(1000)
    try:
        result = search_problem(problem, searcher=name, evaluations=evaluations, seed=seed)
    except RlquantError as error:
        fault = fault_of(error)
        require(fault is None, f"searcher {name}: {fault}")
        return
    _require_within(problem, result.score)
    _require_within(problem, problem.evaluate(result.best))
    asked = len({e.config.canonical().key for e in result.history})
    require(asked <= evaluations, f"searcher {name} asked {asked} of {evaluations} evaluations")
    again = search_problem(problem, searcher=name, evaluations=evaluations, seed=seed)
    require(again.best == result.best, f"searcher {name} finds another result for the same seed")
