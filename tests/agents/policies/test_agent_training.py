"""One agent on several problems and budgets, with checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlquant import Budget
from rlquant.errors import FolderInUseError, SettingsError
from rlquant.space import SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents.policies.agent_training import train_agent
from rlquant_agents.policies.saved_agent import read_record
from rlquant_agents.search.event_log import EventLog
from rlquant_agents.searchers.ppo.searcher import MaskedPPO

SMALL = MaskedPPO(environments=4, episodes=8, epochs=4, hidden=32, warm_samples=0)
BUDGETS = [Budget.average_bits(3.5), Budget.average_bits(5.0)]


def test_every_problem_and_budget_gets_an_answer_within_it(tmp_path: Path) -> None:
    problems = {"four": ToyProblem(4), "six": ToyProblem(6)}
    agent = train_agent(problems, BUDGETS, folder=tmp_path, episodes=40, settings=SMALL)
    assert agent.episodes >= 40
    assert not agent.interrupted
    asked = {(answer.problem, answer.budget) for answer in agent.answers}
    assert asked == {(name, budget) for name in problems for budget in BUDGETS}
    for answer in agent.answers:
        assert answer.score.average_bits <= answer.budget.limit


def test_training_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    problems = {"toy": ToyProblem()}
    train_agent(problems, BUDGETS, folder=tmp_path, episodes=16, settings=SMALL)
    before = read_record(tmp_path).episodes
    first_run = len(problems["toy"].evaluated)
    agent = train_agent(problems, BUDGETS, folder=tmp_path, episodes=32, settings=SMALL)
    assert before >= 16
    assert agent.episodes >= 32
    assert len(problems["toy"].evaluated) - first_run <= 32 - before + 8 + len(BUDGETS)


def test_a_finished_agent_only_answers(tmp_path: Path) -> None:
    problems = {"toy": ToyProblem()}
    train_agent(problems, BUDGETS, folder=tmp_path, episodes=16, settings=SMALL)
    asked = len(problems["toy"].evaluated)
    train_agent(problems, BUDGETS, folder=tmp_path, episodes=16, settings=SMALL)
    assert len(problems["toy"].evaluated) == asked + len(BUDGETS)


def test_an_interruption_saves_the_agent(tmp_path: Path) -> None:
    class Impatient(ToyProblem):
        def evaluate(self, config):  # type: ignore[no-untyped-def]
            if len(self.evaluated) == 30:
                self.evaluated.append(config)
                raise KeyboardInterrupt
            return super().evaluate(config)

    agent = train_agent(
        {"toy": Impatient()}, BUDGETS, folder=tmp_path, episodes=10_000, settings=SMALL
    )
    assert agent.interrupted
    assert read_record(tmp_path).episodes == agent.episodes > 0


def test_the_agent_gets_better(tmp_path: Path) -> None:
    problem = ToyProblem(6)
    budget = problem.within(0.4)
    settings = MaskedPPO(environments=8, episodes=16)
    generator = np.random.default_rng(0)
    under = problem.with_budget(budget)
    draws = [
        problem.loss(under.feasible.config(under.feasible.sample(generator))) for _ in range(200)
    ]
    agent = train_agent(
        {"toy": problem}, [budget], folder=tmp_path, episodes=320, settings=settings
    )
    assert agent.answers[0].score.loss < np.quantile(draws, 0.1)


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    toy = {"toy": ToyProblem()}
    with pytest.raises(SettingsError, match="at least one problem"):
        train_agent({}, BUDGETS, folder=tmp_path, episodes=5)
    with pytest.raises(SettingsError, match="at least one budget"):
        train_agent(toy, [], folder=tmp_path, episodes=5)
    with pytest.raises(SettingsError, match="episodes=0"):
        train_agent(toy, BUDGETS, folder=tmp_path, episodes=0)
    other = ToyProblem(space=SearchSpace(bits=(2, 4)))
    with pytest.raises(SettingsError, match="same decisions everywhere"):
        train_agent({**toy, "other": other}, BUDGETS, folder=tmp_path, episodes=5)


def test_two_trainings_in_one_folder_exclude_each_other(tmp_path: Path) -> None:
    refused: list[str] = []

    class Meddling(ToyProblem):
        def evaluate(self, config):  # type: ignore[no-untyped-def]
            if len(self.evaluated) == 3:
                with pytest.raises(FolderInUseError, match="another run writes here") as caught:
                    train_agent(
                        {"toy": ToyProblem()},
                        BUDGETS,
                        folder=tmp_path,
                        episodes=4,
                        settings=SMALL,
                    )
                refused.append(str(caught.value))
            return super().evaluate(config)

    train_agent({"toy": Meddling()}, BUDGETS, folder=tmp_path, episodes=8, settings=SMALL)
    assert refused


def test_a_training_that_goes_on_shows_each_step_once(tmp_path: Path) -> None:
    def steps() -> list[int]:
        events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
        return [event.step for event in events.Scalars("search/loss")]

    def train(episodes: int) -> None:
        problems = {"toy": ToyProblem()}
        train_agent(problems, BUDGETS, folder=tmp_path, episodes=episodes, settings=SMALL)

    train(24)
    first = steps()
    # a process that was killed after its last checkpoint had logged more
    EventLog(tmp_path, "agent").add(first[-1] + 1000, {"search/loss": 1.0})
    train(48)
    assert steps() == sorted(set(steps()))
    assert steps()[: len(first)] == first
    assert len(steps()) > len(first)
    assert first[-1] + 1000 not in steps()
