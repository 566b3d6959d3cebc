"""What a search is given: NumPy's numbers count, wrong kinds are refused before anything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import rlquant
from rlquant import Budget, Problem
from rlquant.errors import ArgumentError, SettingsError, whole_number
from rlquant.testing import ToyProblem
from rlquant_agents import (
    Callback,
    Searcher,
    SearchResult,
    Session,
    make_searcher,
    search,
    search_problem,
)
from rlquant_agents.search.checks import whole_evaluations, whole_seed
from rlquant_agents.search.searcher import resolve_searcher
from rlquant_agents.searchers.ppo.searcher import MaskedPPO
from small_networks import trained


class Untouched(Sequence[Any]):
    """Data that must not be looked at."""

    def __len__(self) -> int:
        raise AssertionError("the data were touched")

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("the data were touched")


class Likeness:
    """Searches, and is no Searcher."""

    def __init__(self, depth: int = 3) -> None:
        self.depth = depth

    def search(
        self, problem: Problem, evaluations: int, seed: int, callback: Callback | None = None
    ) -> SearchResult:
        return make_searcher("random").search(problem, evaluations, seed, callback)


class Lying(Likeness):
    def search(self, *_: Any) -> Any:
        return "the best"


# --- numbers


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_become_ints(value: Any) -> None:
    assert type(whole_evaluations(value)) is type(whole_seed(value)) is int


@pytest.mark.parametrize("value", [-1, 2**32, 1.0, True, None, "a", np.float64(1), np.bool_(True)])
def test_what_is_no_seed_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="use a whole number from 0 to 4294967295"):
        whole_seed(value)


def test_what_is_too_small_is_named_with_its_limit() -> None:
    with pytest.raises(SettingsError, match="depth=1, use a whole number of at least 2"):
        whole_number("depth", 1, 2)


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    searcher = make_searcher("tpe", startup=np.int64(4))
    result = search_problem(
        ToyProblem(3), searcher=searcher, evaluations=np.int64(6), seed=np.int64(3), out=tmp_path
    )
    document = json.loads((tmp_path / "settings.json").read_text())
    assert (document["seed"], document["evaluations"]) == (3, 6)
    assert document["searcher_settings"]["startup"] == 4
    again = search_problem(
        ToyProblem(3), searcher="tpe", settings={"startup": 4}, evaluations=6, seed=3, out=tmp_path
    )
    assert [e.config for e in again.history] == [e.config for e in result.history]


# --- before anything is touched


@pytest.mark.parametrize(
    "wrong",
    [
        {"evaluations": 0},
        {"evaluations": "ten"},
        {"seed": -1},
        {"seed": "a"},
        {"seed": None},
        {"searcher": None},
        {"searcher": MaskedPPO},
        {"searcher": Likeness},
        {"searcher": 3},
        {"searcher": make_searcher("random", reward=lambda score, reference: -score.loss)},
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_touched(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    with pytest.raises(SettingsError):
        search(
            trained("mlp"),
            Untouched(),
            Untouched(),
            **{"budget": Budget.average_bits(8.0), "out": out, **wrong},
        )
    assert not out.exists()


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("calibration_samples", 64, r"evaluation=EvaluationSettings\(calibration_samples=64\)"),
        ("device", "cpu", r"evaluation=EvaluationSettings\(device='cpu'\)"),
        ("reward", "loss", r"searcher=make_searcher\(name, reward=\.\.\.\)"),
        ("progress", True, r"give search_problem\(problem, progress=\.\.\.\)"),
        ("training", None, r"give QuantizationProblem\(\.\.\., training=\.\.\.\)"),
        ("quantizer_seed", 3, r"give QuantizationProblem\(\.\.\., seed=\.\.\.\)"),
        ("bugdet", 3, "did you mean 'budget'"),
        ("anything", 3, "it has .*'evaluations', 'seed', 'out'"),
    ],
)
def test_an_argument_that_a_search_does_not_have_says_where_it_went(
    argument: str, value: Any, words: str
) -> None:
    said = f"search got an unexpected keyword argument '{argument}'.*{words}"
    with pytest.raises(ArgumentError, match=said):
        search(
            trained("mlp"),
            Untouched(),
            Untouched(),
            **{"budget": Budget.average_bits(8.0), argument: value},
        )


def test_other_calls_name_their_values_as_well() -> None:
    with pytest.raises(ArgumentError, match=r"evaluation=EvaluationSettings\(batch_size=3\)"):
        rlquant.QuantizationProblem(trained("mlp"), (), (), batch_size=3)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"settings=TrainSettings\(epochs=3\)"):
        rlquant.train(trained("mlp"), (), (), epochs=3)  # type: ignore[call-arg]


def test_a_search_has_at_most_twelve_arguments_and_where_it_runs() -> None:
    assert len(set(signature(search).parameters) - {"target", "executor"}) <= 12


def test_what_is_no_problem_is_named() -> None:
    with pytest.raises(SettingsError, match="problem is int without layers, space"):
        search_problem(3)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="problem is NoneType"):
        make_searcher("random").search(None, 5, 0)  # type: ignore[arg-type]


def test_what_is_no_callback_is_named() -> None:
    with pytest.raises(SettingsError, match=r"is no rlquant_agents\.Callback"):
        make_searcher("random").search(ToyProblem(1), 5, 0, print)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, "a", None])
def test_a_searcher_itself_refuses_what_is_no_seed(seed: Any) -> None:
    with pytest.raises(SettingsError, match="seed="):
        make_searcher("random").search(ToyProblem(1), 5, seed)


# --- searchers


def test_what_has_the_method_search_is_a_searcher(tmp_path: Path) -> None:
    result = search_problem(
        ToyProblem(3), searcher=Likeness(5), evaluations=4, out=tmp_path, progress=True
    )
    assert len(result.history) == 4
    document = json.loads((tmp_path / "settings.json").read_text())
    assert (document["searcher"], document["reward"]) == ("Likeness", None)
    assert document["searcher_settings"] == {"depth": 5}
    with pytest.raises(SettingsError, match="depth was 5 and is 6 now"):
        search_problem(ToyProblem(3), searcher=Likeness(6), evaluations=4, out=tmp_path)


def test_a_searcher_that_returns_something_else_is_named() -> None:
    with pytest.raises(SettingsError, match="'Lying' returned 'the best', not a SearchResult"):
        search_problem(ToyProblem(3), searcher=Lying())


def test_a_likeness_has_its_own_settings_and_reward() -> None:
    with pytest.raises(SettingsError, match="has its own"):
        resolve_searcher(Likeness(), settings={"depth": 3})
    with pytest.raises(SettingsError, match="has its own"):
        resolve_searcher(Likeness(), reward="loss")


def test_a_class_is_no_searcher() -> None:
    with pytest.raises(SettingsError, match="a Searcher object"):
        resolve_searcher(MaskedPPO)


def test_a_searcher_without_a_name_says_what_to_write() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Nameless(Searcher):
        def explore(self, session: Session, seed: int) -> None: ...

    with pytest.raises(SettingsError, match="Nameless has no name; write `name: ClassVar"):
        Nameless()


def test_a_setting_called_name_is_no_clash() -> None:
    with pytest.raises(SettingsError, match="no setting 'name'"):
        search_problem(ToyProblem(1), searcher="random", settings={"name": "x"})


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("ppo", "environments", 0),
        ("ppo", "minibatches", 0),
        ("ppo", "hidden", 0),
        ("ppo", "epochs", 1.5),
        ("masked-ppo", "episodes", 0),
        ("masked-ppo", "learning_rate", -1),
        ("masked-ppo", "learning_rate", float("nan")),
        ("masked-ppo", "clip", 0.0),
        ("masked-ppo", "entropy", -0.1),
        ("masked-ppo", "gae_lambda", 1.5),
        ("masked-ppo", "gae_lambda", "0.9"),
        ("masked-ppo", "warm_samples", -1),
        ("masked-ppo", "warm_epochs", -1),
        ("masked-ppo", "warm_learning_rate", 0),
        ("tpe", "startup", -1),
        ("tpe", "patience", 0),
        ("nsga2", "population", 1),
        ("local-swap", "kick", -1),
        ("local-swap", "tries", 0),
    ],
)
def test_settings_out_of_range_are_named(name: str, setting: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"searcher '{name}': {setting}="):
        make_searcher(name, **{setting: value})


def test_numbers_of_numpy_are_settings() -> None:
    searcher = MaskedPPO(learning_rate=np.float32(0.01), warm_samples=np.int64(0))  # type: ignore[arg-type]
    assert searcher.warm_samples == 0


@dataclass(frozen=True, kw_only=True)
class Picky(Searcher):
    name: ClassVar[str] = "picky"

    def check(self, problem: Problem) -> None:
        raise SettingsError("not this one")

    def explore(self, session: Session, seed: int) -> None:
        raise AssertionError("explored")


def test_a_problem_that_a_searcher_refuses_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not this one"):
        search_problem(ToyProblem(2), searcher=Picky(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(SettingsError, match="not this one"):
        Picky().search(ToyProblem(2), 5, 0)
