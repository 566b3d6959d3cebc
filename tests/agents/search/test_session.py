"""The book-keeping of a search: what counts, what is free, when it ends, what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import Budget, LayerChoice, QuantizationConfig, RlquantError, SearchSpace
from rlquant.errors import ChoiceError, SettingsError
from rlquant.score import loss_reward
from rlquant.testing import ToyProblem
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import EPISODES_PER_EVALUATION, Callback, SearchEnded, Session
from rlquant_envs import LayerwiseQuantization


def reason_of(session: Session, indices: list[int]) -> str:
    with pytest.raises(SearchEnded) as ended:
        session.ask_indices(indices)
    return ended.value.reason


# --- counting


def test_a_known_configuration_is_free() -> None:
    problem = ToyProblem(2)
    session = Session(problem, 5)
    first = session.ask_indices([0, 1])
    assert session.ask_indices([0, 1]) is first
    assert session.evaluate(first.config) == first.score
    assert (session.remaining, session.episodes, len(problem.evaluated)) == (4, 3, 1)


def test_equal_canonical_forms_are_one_evaluation() -> None:
    space = SearchSpace(bits=(2, 4), method=("post_training", "ternary"))
    session = Session(ToyProblem(1, 5.0, space), 5)
    for bits in (2, 4):
        config = QuantizationConfig((LayerChoice("layer0", bits, method="ternary"),))
        asked = session.ask(config)
    assert len(session.history) == 1
    assert asked.config == config.canonical()


def test_the_order_in_which_layers_are_given_means_nothing() -> None:
    problem = ToyProblem(2)
    session = Session(problem, 5)
    ordered = problem.feasible.config([0, 1])
    asked = session.ask(QuantizationConfig(ordered.choices[::-1]))
    assert session.ask(ordered) is asked
    assert problem.evaluated == [ordered] == [asked.config]


def test_configurations_of_other_layers_are_refused() -> None:
    problem = ToyProblem(2)
    whole = problem.feasible.config([0, 1])
    with pytest.raises(ChoiceError, match="no choice for layer 'layer1'"):
        Session(problem, 5).ask(QuantizationConfig(whole.choices[:1]))
    strange = QuantizationConfig((*whole.choices, LayerChoice("head", 4)))
    with pytest.raises(ChoiceError, match=r"\['head'\] are not searched"):
        Session(problem, 5).ask(strange)


def test_a_question_over_the_budget_counts_and_is_never_the_best() -> None:
    session = Session(ToyProblem(2, 4.0), 5)
    over = session.ask_indices([3, 3])
    assert not over.feasible
    assert (session.remaining, session.best) == (4, None)
    within = session.ask_indices([0, 0])
    assert within.value < over.value
    assert session.best is within


def test_an_evaluation_records_what_was_asked_and_measured() -> None:
    problem = ToyProblem(2)
    session = Session(problem, 5)
    session.evaluate_many([problem.feasible.config(i) for i in ([0, 0], [1, 0])])
    second = session.history[1]
    assert (second.number, second.feasible) == (2, True)
    assert second.score == problem.evaluate(second.config)
    assert second.value == pytest.approx(np.log(0.25 / second.score.loss))
    assert 0 <= session.history[0].seconds <= second.seconds


def test_recalling_asks_nothing() -> None:
    session = Session(ToyProblem(2), 5)
    assert session.recall([0, 1]) is None
    asked = session.ask_indices([0, 1])
    assert session.recall([0, 1]) is asked
    assert session.episodes == 1


def test_the_reward_decides_what_is_better_and_size_breaks_ties() -> None:
    fewest = Session(ToyProblem(2), 9, reward=lambda score, _: -score.average_bits)
    for indices in ([1, 0], [0, 0], [0, 1]):
        fewest.ask_indices(indices)
    assert fewest.best is fewest.recall([0, 0])
    assert Session(ToyProblem(2), 9, reward="loss").ask_indices([0, 0]).value == pytest.approx(
        loss_reward(fewest.history[1].score, fewest.float_score)
    )

    flat = Session(ToyProblem(2, loss_of=lambda _: 0.5), 9)
    for indices in ([1, 0], [0, 0], [0, 1]):
        flat.ask_indices(indices)
    assert flat.best is flat.recall([0, 0])


@pytest.mark.parametrize("evaluations", [0, -3, 1.5, "ten", True])
def test_evaluations_must_be_a_positive_whole_number(evaluations: object) -> None:
    with pytest.raises(SettingsError, match="whole number of at least 1"):
        Session(ToyProblem(1), evaluations)  # type: ignore[arg-type]


# --- ends


def test_it_ends_when_the_evaluations_are_spent() -> None:
    session = Session(ToyProblem(2), 2)
    session.ask_indices([0, 0])
    session.ask_indices([0, 1])
    assert reason_of(session, [1, 0]) == "evaluations"
    assert reason_of(session, [0, 0]) == "evaluations"
    assert len(session.history) == 2


@pytest.mark.parametrize("options", [1, 2, 3, 9, 13])
def test_it_ends_when_every_feasible_configuration_is_known(options: int) -> None:
    # Among the numbers of configurations are those that exp(log(n)) takes for a little more.
    space = SearchSpace(bits=tuple(range(2, 2 + options)))
    session = Session(ToyProblem(1, 40.0, space), 100)
    for option in range(options):
        session.ask_indices([option])
    assert reason_of(session, [0]) == "exhausted"


def test_configurations_over_the_budget_do_not_exhaust_the_feasible_set() -> None:
    session = Session(ToyProblem(1, 3.5, SearchSpace(bits=(2, 3, 4))), 100)
    assert session.feasible.count() == 2
    for option in (2, 1):
        session.ask_indices([option])
    session.ask_indices([0])
    assert reason_of(session, [1]) == "exhausted"


def test_it_ends_when_it_only_asks_for_what_it_knows() -> None:
    session = Session(ToyProblem(2), 3)
    for _ in range(3 * EPISODES_PER_EVALUATION):
        session.ask_indices([0, 0])
    assert reason_of(session, [0, 0]) == "episodes"
    assert reason_of(session, [0, 1]) == "episodes"


def test_the_last_evaluation_leaves_something_to_return() -> None:
    session = Session(ToyProblem(2, 4.0), 2)
    session.ask_indices([3, 3])
    assert reason_of(session, [3, 2]) == "evaluations"
    assert session.best is not None
    assert session.best.feasible
    assert session.best is session.recall([0, 0])
    assert len(session.history) == 2


@settings(deadline=None)
@given(
    evaluations=st.integers(1, 6),
    questions=st.lists(st.tuples(*[st.integers(0, 3)] * 2), max_size=12),
)
def test_whatever_is_asked_the_evaluations_hold_and_a_full_count_has_a_best(
    evaluations: int, questions: list[tuple[int, int]]
) -> None:
    problem = ToyProblem(2, 3.0)
    session = Session(problem, evaluations)
    for indices in questions:
        try:
            session.ask_indices(indices)
        except SearchEnded:
            break
    assert len(session.history) <= evaluations
    assert problem.evaluated == [e.config for e in session.history]
    assert len(set(problem.evaluated)) == len(problem.evaluated)
    assert [e.number for e in session.history] == list(range(1, len(session.history) + 1))
    feasible = [e for e in session.history if e.feasible]
    if session.remaining == 0:
        assert feasible
    if feasible:
        assert session.best is max(feasible, key=lambda e: (e.value, -e.score.size_bytes))


# --- a problem itself


def test_environments_run_on_it_and_their_episodes_count() -> None:
    problem = ToyProblem(2)
    session = Session(problem, 2)
    env = LayerwiseQuantization(session)
    for _ in range(2):
        env.reset(seed=0)
        env.step(np.array([1]))
        score = env.step(np.array([0]))[4]["score"]
    assert session.history[0].score == score
    assert (session.remaining, session.episodes) == (1, 2)


def test_it_shows_the_problem_that_it_searches() -> None:
    problem = ToyProblem(2)
    session = Session(problem, 2)
    for name in ("layers", "space", "budget", "seed", "fidelity", "feasible", "fingerprint"):
        assert getattr(session, name) == getattr(problem, name)
    assert session.float_score == problem.float_score
    assert session.event_log is None


def test_a_search_has_one_budget() -> None:
    session = Session(ToyProblem(2, 4.0), 2)
    assert session.with_budget(Budget.average_bits(4.0)) is session
    with pytest.raises(RlquantError, match=r"runs under budget average bits 4, not .* 5"):
        session.with_budget(Budget.average_bits(5.0))


def test_a_configuration_outside_the_space_is_refused_before_it_counts() -> None:
    session = Session(ToyProblem(1), 2)
    with pytest.raises(ChoiceError, match="not among the options"):
        session.ask(QuantizationConfig((LayerChoice("layer0", 7),)))
    assert session.remaining == 2


def test_the_callback_hears_of_new_configurations_only() -> None:
    class Listener(Callback):
        heard: list[int]

        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            assert session.history[-1] is evaluation
            self.heard.append(evaluation.number)

    listener = Listener()
    listener.heard = []
    session = Session(ToyProblem(2), 5, listener)
    for indices in ([0, 0], [0, 1], [0, 0]):
        session.ask_indices(indices)
    assert listener.heard == [1, 2]
