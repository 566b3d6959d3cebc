"""Looks at configurations on few tokens, which cost their share of an evaluation.

A look is no evaluation: it is not among a search's evaluations, is compared with looks at the same
tokens alone, and is never the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rlquant import Problem, Reward, Score
from rlquant.errors import WorkerError
from rlquant.problem.protocol import Tokenized
from rlquant.score import bind_reward
from rlquant_agents.search.ahead import Ahead
from rlquant_agents.search.predictions import as_evaluations

Row = tuple[int, ...]
"""A vector of option indices."""


class _Stage:
    """A problem on few tokens, and what looks at it have shown.

    Args:
        problem: on few tokens.
        reward: of the search.
        ahead: gives its evaluations by workers; None where this process evaluates.
    """

    def __init__(
        self,
        problem: Problem,
        reward: str | Reward,
        ahead: Callable[[Problem], Ahead] | None,
    ) -> None:
        assert isinstance(problem, Tokenized)
        self.problem, self.tokens = problem, problem.tokens
        self.values: dict[Row, float] = {}
        self._reward = bind_reward(reward, problem.float_score)
        self.ahead = None if ahead is None else ahead(problem)

    def new(self, rows: Sequence[Row]) -> list[Row]:
        """Return the distinct rows that were not looked at."""
        return [row for row in dict.fromkeys(rows) if row not in self.values]

    def look(self, rows: Sequence[Row]) -> None:
        """Evaluate rows that are new."""
        configs = [self.problem.feasible.config(row) for row in rows]
        if self.ahead is None:
            outcomes: list[Score | WorkerError] = [*self.problem.evaluate_many(configs)]
        else:
            self.ahead.begin(configs, None)
            outcomes = [self.ahead.take(config, None) for config in configs]
        for row, outcome in zip(rows, outcomes, strict=True):
            self.values[row] = (
                -math.inf if isinstance(outcome, WorkerError) else self._reward(outcome)
            )


class TokenLooks:
    """The looks of one search.

    Args:
        problem: what is searched.
        reward: what makes one configuration better than another.
        ahead: makes evaluations by workers; None where this process evaluates.
    """

    def __init__(
        self,
        problem: Problem,
        reward: str | Reward,
        ahead: Callable[[Problem], Ahead] | None = None,
    ) -> None:
        self._problem, self._reward, self._ahead = problem, reward, ahead
        self._stages: dict[int, _Stage] = {}
        self._seen = 0

    @property
    def spent(self) -> int:
        """Evaluations that the looks took as long as, by tokens, rounded up."""
        return -(-self._seen // self._whole) if self._seen else 0

    @property
    def _whole(self) -> int:
        assert isinstance(self._problem, Tokenized)
        return self._problem.tokens

    def _stage(self, tokens: int) -> _Stage:
        if tokens not in self._stages:
            assert isinstance(self._problem, Tokenized)
            problem = self._problem.at_tokens(tokens)
            self._stages[tokens] = _Stage(problem, self._reward, self._ahead)
        return self._stages[tokens]

    def share(self, tokens: int) -> float:
        """Return what one look costs in evaluations: samples are whole, and one at least."""
        return self._stage(tokens).tokens / self._whole

    def cost(self, rows: Sequence[Row], tokens: int) -> int:
        """Return how many evaluations will be `spent` when rows have been looked at."""
        stage = self._stage(tokens)
        return -(-(self._seen + len(stage.new(rows)) * stage.tokens) // self._whole)

    def values(self, rows: Sequence[Row], tokens: int) -> list[float]:
        """Return the rewards of rows on so many tokens; looks at what is known cost nothing."""
        stage = self._stage(tokens)
        new = stage.new(rows)
        stage.look(new)
        self._seen += len(new) * stage.tokens
        return [stage.values[row] for row in rows]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of a result should know."""
        if not self._seen:
            return ()
        stages = sorted(self._stages.values(), key=lambda stage: stage.tokens)
        looks = ", ".join(f"{len(s.values)} on {s.tokens}" for s in stages if s.values)
        return (
            f"configurations raced on few of {self._whole} tokens: {looks}; that took as long as "
            f"{as_evaluations(self.spent)}",
        )

    def close(self) -> None:
        """Let go of what workers were sent."""
        for stage in self._stages.values():
            if stage.ahead is not None:
                stage.ahead.close()
