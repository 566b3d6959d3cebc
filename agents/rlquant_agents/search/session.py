"""The book-keeping that every searcher shares: asking, counting, remembering the best."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant import (
    Budget,
    Problem,
    QuantizationConfig,
    Reward,
    RlquantError,
    Score,
)
from rlquant.ambient import callers_generators
from rlquant.config import Fidelity
from rlquant.errors import (
    ChoiceError,
    EvaluationStopped,
    SettingsError,
    WorkerError,
    whole_number,
)
from rlquant.executors.workload import Workload
from rlquant.problem.protocol import Indexed, Orders, Races, Trains, racing_of, require_problem
from rlquant.score import bind_reward, log_loss, log_loss_reward, log_shift
from rlquant.training.watching import Watcher
from rlquant_agents.search.ahead import Ahead
from rlquant_agents.search.checks import require_raceable, whole_evaluations
from rlquant_agents.search.event_log import EventLog
from rlquant_agents.search.predictions import Prediction, as_evaluations, predict
from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.token_looks import TokenLooks

EPISODES_PER_EVALUATION = 20
"""A search that keeps asking for what it knows ends after so many episodes per evaluation."""


class SearchEnded(Exception):
    """Nothing more may be asked; `reason` is one of `SearchResult.stopped`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Callback:
    """Observes a search; write only the methods you need. It must not change the search.

    It is told inside the search: gradients are recorded, float32 is the default type, autocast is
    off. What it draws comes from the global random generators as the caller left them.
    """

    @property
    def event_log(self) -> EventLog | None:
        """Where the search itself may write TensorBoard events; None by default."""
        return None

    def on_start(self, session: Session) -> None:
        """Hear that a search begins."""

    def on_progress(self, session: Session, stage: str, done: int, total: int) -> None:
        """Hear how far something long is that is no evaluation, such as taking gradients.

        Args:
            session: the search.
            stage: what is being done, in words.
            done: steps of it that are done.
            total: steps that it has.
        """

    def on_workload(self, session: Session, workload: Workload) -> None:
        """Hear how busy the workers are, where there are some."""

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Hear of a configuration that was asked for the first time."""

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Hear the result, also after an interruption."""

    def close(self) -> None:
        """Let go of what was opened; called at the very end, whatever happened."""


def require_callback(callback: Any) -> Callback | None:
    """Return a callback or None; `SettingsError` for anything else."""
    if callback is None or isinstance(callback, Callback):
        return callback
    raise SettingsError(
        f"callback={callback!r} is no rlquant_agents.Callback; derive a class from it and write "
        f"on_evaluation(session, evaluation)"
    )


class Session:
    """A problem as one search sees it: every question is counted, the best answer is kept.

    It is itself a `Problem`, so that environments run on it unchanged. `evaluate` raises
    `SearchEnded` once the evaluations are spent, the feasible set is exhausted, or
    20 x `evaluations` questions were asked.

    Args:
        problem: what is searched.
        evaluations: how many distinct configurations may be asked for, at least one.
        callback: told of each new evaluation.
        reward: what makes one configuration better than another.
        executor: whose workers evaluate; None for this process.
        batch: configurations that searchers ask for together.

    Raises:
        SettingsError: `evaluations` is no positive whole number, `problem` or `callback` is none,
            or `reward` means nothing on this problem, or is not of the loss where that races.
    """

    def __init__(
        self,
        problem: Problem,
        evaluations: int,
        callback: Callback | None = None,
        reward: str | Reward = "log_loss",
        executor: Executor | None = None,
        batch: int = 1,
    ) -> None:
        self.problem = require_problem(problem)
        self.layers, self.space, self.feasible = problem.layers, problem.space, problem.feasible
        self.budget, self.seed, self.fidelity = problem.budget, problem.seed, problem.fidelity
        self.fingerprint, self.float_score = problem.fingerprint, problem.float_score
        self.evaluations = whole_evaluations(evaluations)
        self.callback = require_callback(callback)
        self.history: list[Evaluation] = []
        self.best: Evaluation | None = None
        self.episodes = 0
        self._prediction: Prediction | None = None
        self.notes: list[str] = []
        self._reward = bind_reward(reward, problem.float_score)
        require_raceable(problem, reward)
        self._log_shift = log_shift(problem.float_score.loss)
        self._rewards_log_loss = reward in ("log_loss", log_loss_reward)
        self._known: dict[tuple[int, ...], Evaluation] = {}
        self._sources: dict[tuple[int, ...], str] = {}
        self._screened: dict[tuple[QuantizationConfig, Fidelity], Evaluation] = {}
        self._lowered: dict[Fidelity, Problem] = {}
        self._races = problem if isinstance(problem, Races) else None
        self._indexed = problem if isinstance(problem, Indexed) else None
        self.batch = whole_number("batch", batch, 1)
        self._executor = None if self._indexed is not None else executor
        self._ahead: dict[Fidelity, Ahead] = {}
        by_workers = None if self._executor is None else self._ahead_of
        self._charged = 0
        self.looks = TokenLooks(problem, reward, by_workers)
        self._feasible_asked = 0
        self._feasible_count = problem.feasible.count()
        self._started = time.perf_counter()

    # --- asking

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score a configuration; a new one costs an evaluation, a known one nothing."""
        return self.ask(config).score

    def evaluate_indices(self, indices: Sequence[int]) -> Score:
        """Score the configuration of a vector of option indices, as `evaluate`."""
        return self.ask_indices(indices).score

    def evaluate_many(self, configs: Iterable[QuantizationConfig]) -> list[Score]:
        """Score several configurations; the scores are in the order given, see `ask_many`."""
        return [evaluation.score for evaluation in self.ask_many(list(configs))]

    def recall(self, indices: Sequence[int]) -> Evaluation | None:
        """Return what this search knows of a configuration, without asking for it."""
        return self._known.get(tuple(map(int, indices)))

    def ask_many(self, configs: Sequence[QuantizationConfig]) -> list[Evaluation]:
        """Ask for several configurations, in the order in which their evaluations share most.

        Returns:
            What is known of them, in the order given.
        """
        vectors = map(self.feasible.vector, configs)
        known = [None if vector is None else self._known.get(vector) for vector in vectors]
        new = [i for i, evaluation in enumerate(known) if evaluation is None]
        order = [new[place] for place in self._order([configs[i] for i in new])]
        self.prefetch([v for i in order if (v := self.feasible.vector(configs[i])) is not None])
        asked = {i: self.ask(configs[i]) for i in order}
        return [evaluation or asked[i] for i, evaluation in enumerate(known)]

    def _order(self, configs: Sequence[QuantizationConfig]) -> Iterable[int]:
        """Return in which order to ask the problem."""
        if isinstance(self.problem, Orders):
            return self.problem.expect(configs)
        return range(len(configs))

    def ask(self, config: QuantizationConfig, watch: Watcher | None = None) -> Evaluation:
        """Ask for a configuration, as `evaluate`, and return all that is known of it.

        Args:
            config: what to score.
            watch: told how its training goes, or went; where it ends that, the evaluation is
                spent, its loss infinite, and it is not `final`.
        """
        vector = self.feasible.vector(config)
        if vector is not None:
            return self.ask_indices(vector, watch)
        searched = self._of_searched_layers(config).canonical(self.fidelity)
        return self.ask_indices(self.feasible.indices(searched).tolist(), watch)

    def ask_indices(self, indices: Sequence[int], watch: Watcher | None = None) -> Evaluation:
        """Ask for the configuration of a vector of option indices; see `ask`."""
        self._require_room()
        self.episodes += 1
        vector = tuple(map(int, indices))
        if vector in self._known:
            return self._known[vector]
        feasible = self.feasible.fits(vector)
        if not feasible and self.best is None and self.remaining == 1:
            self.ask_cheapest()  # the last evaluation must leave something to return
            raise SearchEnded("evaluations")
        return self._record(vector, feasible, watch)

    def ask_rows(self, rows: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Ask for the configurations of vectors of option indices, in this order."""
        self.prefetch(rows)
        return [self.ask_indices(row) for row in rows]

    def prefetch(self, rows: Iterable[Sequence[int]]) -> None:
        """Have workers evaluate what is asked for next, as far as it is new; nothing is counted.

        Args:
            rows: vectors of option indices, in the order in which they will be asked for.
        """
        if self._executor is None:
            return
        vectors = dict.fromkeys(tuple(map(int, row)) for row in rows)
        new = [vector for vector in vectors if vector not in self._known][: self.remaining]
        if new:
            configs = [self.feasible.config(vector) for vector in new]
            self._ahead_at(self.fidelity).begin(configs, self._incumbent())

    @property
    def has_workers(self) -> bool:
        """Whether workers evaluate."""
        return self._executor is not None

    def _ahead_at(self, fidelity: Fidelity) -> Ahead:
        """Return the evaluations by workers at a fidelity, made when they are first needed."""
        assert self._executor is not None
        if fidelity not in self._ahead:
            problem = self.problem if fidelity == self.fidelity else self._lower(fidelity)
            self._ahead[fidelity] = self._ahead_of(problem)
        return self._ahead[fidelity]

    def _ahead_of(self, problem: Problem) -> Ahead:
        assert self._executor is not None
        return Ahead(problem, self._executor, self._tell_workload)

    def end_workers(self) -> None:
        """End what workers compute; they can be asked again."""
        for ahead in self._ahead.values():
            ahead.end()

    def close(self) -> None:
        """Let go of what workers were sent."""
        for ahead in self._ahead.values():
            ahead.close()
        self._ahead.clear()
        self.looks.close()

    def propose(self, source: str, rows: Iterable[Sequence[int]]) -> None:
        """Say where configurations come from that are asked for next, for the result to tell.

        Args:
            source: in words, such as "the policy"; of several the first stays.
            rows: vectors of option indices.
        """
        for row in rows:
            self._sources.setdefault(tuple(map(int, row)), source)

    @property
    def source(self) -> str:
        """Where the best configuration comes from, "" where that was not said."""
        if self.best is None:
            return ""
        return self._sources.get(self.feasible.vector(self.best.config) or (), "")

    def screen_many(
        self, configs: Sequence[QuantizationConfig], fidelity: Fidelity
    ) -> list[Evaluation]:
        """Ask for several configurations at a lower fidelity, see `screen`."""
        if self._executor is not None:
            self._lower(fidelity)
            canonical = dict.fromkeys(config.canonical(fidelity) for config in configs)
            new = [c for c in canonical if (c, fidelity) not in self._screened][: self.remaining]
            if new:
                self._ahead_at(fidelity).begin(new, None)
        return [self.screen(config, fidelity) for config in configs]

    def screen(self, config: QuantizationConfig, fidelity: Fidelity) -> Evaluation:
        """Ask for a configuration at a lower fidelity: an evaluation like any other, not `final`.

        Raises:
            SettingsError: the problem has no such fidelity below its own.
        """
        lower = self._lower(fidelity)
        self._require_room()
        self.episodes += 1
        canonical = config.canonical(fidelity)
        known = self._screened.get((canonical, fidelity))
        if known is None:
            score = self._screened_score(lower, canonical)
            known = self._add(canonical, score, True, final=False)
            self._screened[(canonical, fidelity)] = known
        return known

    def _screened_score(self, lower: Problem, config: QuantizationConfig) -> Score:
        if self._executor is None:
            return lower.evaluate(config)
        outcome = self._ahead_at(lower.fidelity).take(config, None)
        return self._failed(config, outcome) if isinstance(outcome, WorkerError) else outcome

    def _lower(self, fidelity: Fidelity) -> Problem:
        if fidelity not in self._lowered:
            if not isinstance(self.problem, Trains) or fidelity == self.fidelity:
                raise SettingsError(
                    f"a {type(self.problem).__name__} of fidelity {self.fidelity!r} cannot be "
                    f"screened at {fidelity!r}"
                )
            self._lowered[fidelity] = self.problem.at_fidelity(fidelity)
        return self._lowered[fidelity]

    def log_loss(self, evaluation: Evaluation) -> float:
        """Return what effects are differences of: smaller is better, infinite losses are bounded.

        The log of the loss where that is rewarded; under any other reward minus its value, which
        works for losses of either sign.
        """
        return (
            log_loss(evaluation.score.loss, self._log_shift)
            if self._rewards_log_loss
            else -evaluation.value
        )

    def ask_cheapest(self) -> Evaluation:
        """Ask for the cheapest configuration, which always keeps the budget."""
        cheapest = tuple(self.feasible.costs.argmin(axis=1).tolist())
        return self._known.get(cheapest) or self._record(cheapest, True)

    def expected_increases(self) -> npt.NDArray[np.float64] | None:
        """Return by how much options are expected to raise the loss, `(decisions, options)`.

        It costs evaluations once, see `predict`.

        Returns:
            None where the problem cannot tell, or not at that cost.
        """
        if self._prediction is None:
            self._prediction = predict(self.problem, self.remaining, self._tell_progress)
            if self._prediction.note:
                self.say(self._prediction.note)
        return self._prediction.increases

    @property
    def label_variance(self) -> float:
        """The noise of measured increases, see `Predicts`; 0 before increases are asked for."""
        return 0.0 if self._prediction is None else self._prediction.label_variance

    def _tell_progress(self, stage: str, done: int, total: int) -> None:
        if self.callback is not None:
            with callers_generators():
                self.callback.on_progress(self, stage, done, total)

    def _tell_workload(self, workload: Workload) -> None:
        if self.callback is not None:
            with callers_generators():
                self.callback.on_workload(self, workload)

    @property
    def log_shift(self) -> float | None:
        """What is added to losses before their log is taken; None under another reward."""
        return self._log_shift if self._rewards_log_loss else None

    @property
    def remaining(self) -> int:
        """How many evaluations are left."""
        return self._left_after(self.looks.spent)

    def affords_looks(self, rows: Sequence[tuple[int, ...]], tokens: int) -> bool:
        """Return whether an evaluation is left when rows have been looked at on few tokens."""
        return self._left_after(self.looks.cost(rows, tokens)) >= 1

    def _left_after(self, looks: int) -> int:
        spent = 0 if self._prediction is None else self._prediction.spent
        return self.evaluations - len(self.history) - spent - self._charged - looks

    def charge(self, evaluations: float, what: str) -> None:
        """Count what a searcher has run by itself; of the last evaluation nothing is taken.

        Args:
            evaluations: that it took as long as; rounded up.
            what: for the result's notes, in words.
        """
        taken = min(math.ceil(evaluations), max(0, self.remaining - 1))
        self._charged += taken
        self.say(f"{what}: that took as long as {as_evaluations(taken)}")

    def _of_searched_layers(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return the configuration; `ChoiceError` where it names a layer that is not searched."""
        strange = [c.layer for c in config if c.layer not in self.feasible.layer_names]
        if strange:
            known = self.feasible.layer_names
            raise ChoiceError(f"{strange} are not searched; the layers: {known}")
        return config

    def _require_room(self) -> None:
        if self.remaining <= 0:
            raise SearchEnded("evaluations")
        if self._feasible_asked >= self._feasible_count and self.feasible.exact:
            raise SearchEnded("exhausted")
        if self.episodes >= EPISODES_PER_EVALUATION * self.evaluations:
            raise SearchEnded("episodes")

    def _record(
        self, vector: tuple[int, ...], feasible: bool, watch: Watcher | None = None
    ) -> Evaluation:
        config = self.feasible.config(vector)
        if self._indexed is None:
            score, final = self._score(config, watch)
        else:
            score, final = self._indexed.evaluate_indices(vector), True
        evaluation = self._add(config, score, feasible, final)
        self._known[vector] = evaluation
        self._feasible_asked += feasible
        return evaluation

    def _score(self, config: QuantizationConfig, watch: Watcher | None) -> tuple[Score, bool]:
        """Return the score, and whether it is one: a training that was ended has none."""
        if self._executor is not None and watch is None:
            outcome = self._ahead_at(self.fidelity).take(config, self._incumbent())
            if isinstance(outcome, WorkerError):
                return self._failed(config, outcome), False
            return outcome, not outcome.partial
        if self._races is None:
            return self.problem.evaluate(config), True
        try:
            score = self._races.evaluate(config, watch, self._incumbent())
            return score, not score.partial
        except EvaluationStopped:
            return self._races.unmeasured(config), False

    def _failed(self, config: QuantizationConfig, error: WorkerError) -> Score:
        """Note why an evaluation has no score; return one with an infinite loss."""
        self.say(f"{config.key} could not be evaluated: {error}")
        if self._races is not None:
            return self._races.unmeasured(config)
        return dataclasses.replace(self.float_score, loss=math.inf, accuracy=math.nan, samples=0)

    def _incumbent(self) -> QuantizationConfig | None:
        """Return the configuration that a new one has to beat where evaluations race."""
        racing = racing_of(self.problem)
        if racing is None or self.best is None:
            return None
        if racing.top == 1:
            return self.best.config
        candidates = sorted((e for e in self.history if e.candidate), key=lambda e: -e.value)
        return candidates[racing.top - 1].config if len(candidates) >= racing.top else None

    def _add(
        self, config: QuantizationConfig, score: Score, feasible: bool, final: bool
    ) -> Evaluation:
        evaluation = Evaluation(
            number=len(self.history) + 1,
            config=config,
            score=score,
            feasible=feasible,
            value=self._reward(score),
            seconds=time.perf_counter() - self._started,
            final=final,
        )
        self.history.append(evaluation)
        if evaluation.candidate and (self.best is None or _better(evaluation, self.best)):
            self.best = evaluation
        if self.callback is not None:
            with callers_generators():
                self.callback.on_evaluation(self, evaluation)
        return evaluation

    def say(self, note: str) -> None:
        """Add something that the reader of the result should know."""
        self.notes.append(note)

    @property
    def event_log(self) -> EventLog | None:
        """Where TensorBoard events go, if anywhere."""
        return None if self.callback is None else self.callback.event_log

    def with_budget(self, budget: Budget) -> Session:
        """Return itself for its own budget; a search has one budget."""
        if budget != self.budget:
            raise RlquantError(f"this search runs under budget {self.budget}, not {budget}")
        return self


def _better(a: Evaluation, b: Evaluation) -> bool:
    return (a.value, -a.score.size_bytes) > (b.value, -b.score.size_bytes)
