"""A problem's evaluations by the workers of an executor, answered in the order of the questions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from typing import Any, Generic, Protocol, TypeVar

from rlquant.ambient import isolated
from rlquant.config import QuantizationConfig
from rlquant.errors import WorkerError
from rlquant.executors.calls import Calls
from rlquant.executors.opening import opened, transport_of
from rlquant.executors.workload import Listener, unheard
from rlquant.problem.measurements import (
    Answer,
    Measurements,
    Question,
    waits,
)
from rlquant.problem.protocol import Distributes, Evaluations
from rlquant.score import Measurement, Score

TASKS_EACH = 8
"""A worker gets about so many tasks of a long list: neighbours share, and the load is balanced."""


class Evaluates(Protocol):
    """What workers need: something that can be pickled and that scores."""

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score a configuration."""


Q = TypeVar("Q")
A = TypeVar("A")
Asked = TypeVar("Asked", covariant=True)
Answered = TypeVar("Answered", contravariant=True)


class Asking(Protocol[Asked, Answered]):
    """What the process that asks knows: which questions need a worker, and what answers mean."""

    def canonical(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return the one of equal configurations that is asked for."""

    def known(
        self, config: QuantizationConfig, incumbent: QuantizationConfig | None
    ) -> Score | None:
        """Return the score where no worker is needed."""

    def question(
        self, config: QuantizationConfig, incumbent: QuantizationConfig | None, ahead: int
    ) -> Asked:
        """Return what a worker is asked, and next probably what comes so many behind it."""

    def take(self, config: QuantizationConfig, answer: Answered) -> Score:
        """Keep what a worker has answered; return the score."""

    def claim(
        self, configs: Sequence[QuantizationConfig], waited: float
    ) -> list[QuantizationConfig]:
        """Return those that nobody else measures now, all after a wait of many seconds."""

    def release(self, configs: Iterable[QuantizationConfig]) -> None:
        """Let others measure what was claimed and has no answer."""


class WorkerEvaluations(Generic[Q, A]):
    """Evaluations of configurations by workers.

    Args:
        calls: answer questions.
        asking: makes them.
    """

    def __init__(self, calls: Calls[Any, Q, A], asking: Asking[Q, A]) -> None:
        self._calls, self._asking = calls, asking

    @property
    def workers(self) -> int:
        """How many there are."""
        return self._calls.workers

    def scores(
        self, configs: Iterable[QuantizationConfig], incumbent: QuantizationConfig | None = None
    ) -> Generator[Score | WorkerError, None, None]:
        """Evaluate configurations; see `Evaluations.scores`."""
        asked = [self._asking.canonical(config) for config in configs]
        opponent = None if incumbent is None else self._asking.canonical(incumbent)
        found: dict[QuantizationConfig, Score | WorkerError] = {**self._known(asked, opponent)}
        new = [config for config in dict.fromkeys(asked) if config not in found]
        with closing(self._arriving(new, opponent)) as arriving:
            for config in asked:
                while config not in found:
                    arrived, outcome = next(arriving)
                    found[arrived] = outcome
                yield found[config]

    def _arriving(
        self, configs: Sequence[QuantizationConfig], incumbent: QuantizationConfig | None
    ) -> Generator[tuple[QuantizationConfig, Score | WorkerError], None, None]:
        left, waiting = list(configs), waits()
        while left:
            mine = self._asking.claim(left, next(waiting))
            found = self._known(left, incumbent)  # perhaps since somebody else let go of it
            try:
                yield from found.items()
                yield from self._answered([c for c in mine if c not in found], incumbent)
            finally:
                self._asking.release(mine)
            if mine or found:
                waiting = waits()
                done = {*mine, *found}
                left = [config for config in left if config not in done]

    def _known(
        self, configs: Iterable[QuantizationConfig], incumbent: QuantizationConfig | None
    ) -> dict[QuantizationConfig, Score]:
        """Return the scores of those for which no worker is needed."""
        scores = ((config, self._asking.known(config, incumbent)) for config in configs)
        return {config: score for config, score in scores if score is not None}

    def _answered(
        self, configs: Sequence[QuantizationConfig], incumbent: QuantizationConfig | None
    ) -> Generator[tuple[QuantizationConfig, Score | WorkerError], None, None]:
        """Yield the answers of workers, as they come."""
        if not configs:
            return
        chunk = max(1, len(configs) // (TASKS_EACH * self.workers))
        others = (self.workers - 1) * chunk  # which are in between where a chunk ends
        questions = [
            self._asking.question(config, incumbent, 1 if place % chunk else 1 + others)
            for place, config in enumerate(configs, start=1)
        ]
        with closing(self._calls.completed(questions, chunk)) as completed:
            for place, answer in completed:
                config = configs[place]
                if isinstance(answer, WorkerError):
                    yield config, answer
                else:
                    yield config, self._asking.take(config, answer)

    def close(self) -> None:
        """Let workers forget the problem."""
        self._calls.close()


class _Scores:
    """Asks for scores, and keeps none of them."""

    def canonical(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return it as it is."""
        return config

    def known(self, config: QuantizationConfig, incumbent: QuantizationConfig | None) -> None:
        """Know nothing."""

    def question(
        self, config: QuantizationConfig, incumbent: QuantizationConfig | None, ahead: int
    ) -> QuantizationConfig:
        """Ask for the configuration's score."""
        return config

    def take(self, config: QuantizationConfig, answer: Score) -> Score:
        """Return it."""
        return answer

    def claim(
        self, configs: Sequence[QuantizationConfig], waited: float
    ) -> list[QuantizationConfig]:
        """Return all: nobody else knows of them."""
        return list(configs)

    def release(self, configs: Iterable[QuantizationConfig]) -> None:
        """Do nothing."""


class _Measurements:
    """Asks for what is neither remembered nor stored, and keeps it.

    Args:
        kept: memory and store.
        canonical: of configurations.
        score: of a canonical configuration that is measured.
    """

    def __init__(
        self,
        kept: Measurements,
        canonical: Callable[[QuantizationConfig], QuantizationConfig],
        score: Callable[[QuantizationConfig, Measurement], Score],
    ) -> None:
        self._kept, self.canonical, self._score = kept, canonical, score

    def known(
        self, config: QuantizationConfig, incumbent: QuantizationConfig | None
    ) -> Score | None:
        """Return what is remembered or stored."""
        found = self._kept.recall(config, incumbent)
        return None if found is None else self._score(config, found)

    def question(
        self, config: QuantizationConfig, incumbent: QuantizationConfig | None, ahead: int
    ) -> Question:
        """Ask, with what is known of the configuration to beat."""
        return self._kept.question(config, incumbent, ahead)

    def take(self, config: QuantizationConfig, answer: Answer) -> Score:
        """Remember and store."""
        self._kept.take(config, answer)
        return self._score(config, answer.measured)

    def claim(
        self, configs: Sequence[QuantizationConfig], waited: float
    ) -> list[QuantizationConfig]:
        """Return those that no process measures that shares the store."""
        return self._kept.claim(configs, waited)

    def release(self, configs: Iterable[QuantizationConfig]) -> None:
        """Let such processes measure what has no answer."""
        self._kept.release(configs)


def measurements_by_workers(
    kept: Measurements,
    canonical: Callable[[QuantizationConfig], QuantizationConfig],
    score: Callable[[QuantizationConfig, Measurement], Score],
    executor: Executor,
    listener: Listener = unheard,
) -> WorkerEvaluations[Question, Answer]:
    """Return evaluations of a live problem; this process alone reads and writes its store."""
    sent = kept.sent(same_machine=transport_of(executor).same_machine)
    calls = Calls(executor, _answer, sent, listener=listener)
    return WorkerEvaluations(calls, _Measurements(kept, canonical, score))


def evaluations_on(problem: Any, executor: Executor, listener: Listener = unheard) -> Evaluations:
    """Return a problem's evaluations by the workers of an executor; any that can be pickled."""
    if isinstance(problem, Distributes):
        return problem.distributed(executor, listener)
    return WorkerEvaluations(Calls(executor, _score, problem, listener=listener), _Scores())


def scores_on(
    problem: Any, configs: Iterable[QuantizationConfig], executor: Executor | str
) -> list[Score]:
    """Return scores in the order given; see `QuantizationProblem.evaluate_many`."""
    with opened(executor) as workers:
        assert workers is not None
        with closing(evaluations_on(problem, workers)) as evaluations:
            found = list(evaluations.scores(configs))
    for outcome in found:
        if isinstance(outcome, WorkerError):
            raise outcome
    return [outcome for outcome in found if not isinstance(outcome, WorkerError)]


# --- in the workers


def _score(problem: Evaluates, config: QuantizationConfig) -> Score:
    with _noted(config):
        return problem.evaluate(config)


@isolated()
def _answer(measurements: Measurements, question: Question) -> Answer:
    with _noted(question.config):
        return measurements.answer(question)


@contextmanager
def _noted(config: QuantizationConfig) -> Iterator[None]:
    """Say in an error's notes what was evaluated."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while evaluating {config.to_json()}")
        raise
