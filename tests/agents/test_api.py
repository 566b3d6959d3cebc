"""The one call: what it returns is what was scored, and what it is given is checked early."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch

from rlquant import (
    Budget,
    EvaluationSettings,
    EvaluationStore,
    QuantizationProblem,
    Score,
    SearchSpace,
    load,
    measure,
)
from rlquant.errors import (
    BudgetError,
    FileFormatError,
    SettingsError,
    StorageError,
    UnknownNameError,
)
from rlquant.testing import ToyProblem
from rlquant_agents import Callback, Evaluation, Session, make_searcher, search
from rlquant_agents import search_problem as search_ready
from small_networks import samples_of, trained

pytestmark = pytest.mark.usefixtures("blank_figures")

TRAIN, VALIDATION = (samples_of("mlp", 96, seed=seed) for seed in (1, 2))


def find(**arguments: Any) -> Any:
    settings: dict[str, Any] = {
        "budget": Budget.average_bits(8.0),
        "searcher": "random",
        "evaluations": 5,
        "space": SearchSpace(bits=(2, 3, 4, 6, 8)),
        "evaluation": EvaluationSettings(calibration_samples=48),
        **arguments,
    }
    if set(arguments) <= set(signature(search).parameters):
        return search(trained("mlp"), TRAIN, VALIDATION, **settings)
    names = ("budget", "space", "evaluation", "fidelity", "store")
    of_problem = {name: settings.pop(name) for name in names if name in settings}
    problem = QuantizationProblem(trained("mlp"), TRAIN, VALIDATION, **of_problem)
    return search_ready(problem, **settings)


def test_the_network_is_the_one_that_was_scored() -> None:
    result = find()
    measured = measure(result.network, VALIDATION)
    assert measured.loss == pytest.approx(result.score.loss, rel=1e-6)
    assert measured.accuracy == pytest.approx(result.score.accuracy)
    assert result.score.average_bits <= 8.0
    assert len(result.history) == 5


def test_refined_it_is_within_the_budget_and_the_network_that_was_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = SearchSpace(bits=(1,), rounding=("learned",), points=("kmeans",))
    settings: dict[str, Any] = {"space": space, "budget": Budget.average_bits(20.0)}
    plain = find(**settings)
    refined = find(refine=TRAIN, progress=True, out=tmp_path / "run", **settings)
    assert re.search(r"refine: 600/600 .*/s.*loss", capsys.readouterr().err)
    assert refined.best == plain.best
    assert refined.score.loss < plain.score.loss
    assert refined.score.size_bytes == plain.score.size_bytes
    assert measure(refined.network, VALIDATION).loss == pytest.approx(refined.score.loss, rel=1e-6)
    loaded = load(tmp_path / "run" / "model.rlq", trained("mlp"))
    assert measure(loaded, VALIDATION).loss == pytest.approx(refined.score.loss, rel=1e-6)
    stored = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert stored["score"]["loss"] == refined.score.loss


def test_ctrl_c_while_refining_keeps_what_was_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    plain = find()
    monkeypatch.setattr("rlquant.refine", interrupt)
    result = find(refine=TRAIN, out=tmp_path)
    assert result.stopped == "interrupted"
    assert (result.best, result.score) == (plain.best, plain.score)
    assert load(tmp_path / "model.rlq", trained("mlp")) is not None


def test_what_cannot_be_refined_is_refused_before_the_search() -> None:
    with pytest.raises(SettingsError, match="at fidelity='tuned' has no weights to assign again"):
        find(refine=TRAIN, fidelity="tuned", space=SearchSpace(bits=(2, 3)))
    with pytest.raises(SettingsError, match="a ToyProblem at fidelity="):
        search_ready(ToyProblem(2), searcher="random", evaluations=2, refine=TRAIN)


def test_the_same_seed_gives_the_same_result() -> None:
    first, second, other = find(seed=1), find(seed=1), find(seed=2)
    assert (first.best, first.score) == (second.best, second.score)
    assert [e.config for e in first.history] == [e.config for e in second.history]
    assert [e.config for e in first.history] != [e.config for e in other.history]


def test_the_users_network_and_generators_are_left_alone() -> None:
    network = trained("mlp")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    search(
        network,
        TRAIN,
        VALIDATION,
        budget=Budget.average_bits(8.0),
        evaluations=9,
        evaluation=EvaluationSettings(calibration_samples=48),
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_searcher_may_be_given_with_its_settings() -> None:
    given = find(searcher=make_searcher("random", reward="accuracy"))
    named = find(settings={"reward": "accuracy"})
    asked = find(reward="accuracy")
    changed = find(searcher=make_searcher("random"), reward="accuracy")
    values = [[e.value for e in r.history] for r in (given, named, asked, changed)]
    assert values[0] == values[1] == values[2] == values[3]


def smallest(score: Score, reference: Score) -> float:
    return -score.size_ratio


def test_a_reward_may_be_a_function(tmp_path: Path) -> None:
    result = find(reward=smallest, out=tmp_path)
    assert result.score.size_bytes == min(e.score.size_bytes for e in result.history)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["reward"].endswith("smallest")


def test_a_reward_without_a_name_is_refused_beside_a_folder(tmp_path: Path) -> None:
    def local(score: Score, reference: Score) -> float:
        return -score.loss

    for reward in (local, lambda score, reference: -score.loss, partial(smallest)):
        with pytest.raises(SettingsError, match="at the top of a module"):
            find(reward=reward, out=tmp_path / "run")
        assert len(find(reward=reward).history) == 5


def test_a_callback_hears_every_evaluation() -> None:
    heard: list[int] = []

    class Hear(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            heard.append(evaluation.number)

    find(callback=Hear())
    assert heard == [1, 2, 3, 4, 5]


def test_progress_is_a_bar_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    find(progress=True)
    shown = capsys.readouterr()
    assert "5/5" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_the_one_call_shows_its_progress_to_a_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    find()
    assert ("5/5" in stream.getvalue()) == terminal


def test_a_process_without_a_console_searches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert len(find().history) == 5


# --- the store


def test_a_second_search_computes_nothing_again(tmp_path: Path) -> None:
    first = find(out=tmp_path / "a", store=tmp_path / "s.sqlite")
    second = find(out=tmp_path / "b", store=EvaluationStore(tmp_path / "s.sqlite"))
    results = [json.loads((tmp_path / n / "result.json").read_text()) for n in ("a", "b")]
    assert [r["computed"] for r in results] == [5, 0]
    assert first.score == second.score


def test_the_store_stands_in_the_folder_by_default(tmp_path: Path) -> None:
    find(out=tmp_path)
    assert EvaluationStore(tmp_path / "evaluations.sqlite").count() >= 5
    settings = {"evaluations": 5, "searcher": "random"}
    store = EvaluationStore(tmp_path / "other.sqlite")
    find(out=tmp_path / "again", store=store, **settings)
    assert not (tmp_path / "again" / "evaluations.sqlite").exists()


def test_nothing_is_written_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    find()
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_store_is_refused_before_the_search(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"no database at all, but long enough to look at" * 40)
    heard: list[int] = []

    class Hear(Callback):
        def on_start(self, session: Session) -> None:
            heard.append(1)

    with pytest.raises(FileFormatError, match="move it away"):
        find(store=tmp_path / "s.sqlite", callback=Hear())
    assert heard == []


# --- bad input


@pytest.mark.parametrize("evaluations", [0, -3, 2.5, True])
def test_evaluations_must_be_positive_and_whole(evaluations: object) -> None:
    with pytest.raises(SettingsError, match="at least 1"):
        find(evaluations=evaluations)


def test_a_wrong_searcher_gets_a_near_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'masked-ppo'"):
        find(searcher="maskedppo")


def test_a_wrong_reward_gets_a_near_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        find(reward="acuracy")


def test_a_setting_that_the_searcher_lacks_is_named() -> None:
    with pytest.raises(SettingsError, match="no setting 'startups'"):
        find(settings={"startups": 3})


def test_settings_beside_a_searcher_object_are_refused() -> None:
    with pytest.raises(SettingsError, match="go with a searcher's name"):
        find(searcher=make_searcher("random"), settings={"reward": "loss"})


def test_a_budget_out_of_reach_says_what_is_reachable() -> None:
    with pytest.raises(BudgetError, match="smallest reachable"):
        find(budget=Budget.average_bits(0.5))


def test_a_folder_that_cannot_be_written_is_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    class Untouched(Sequence[Any]):
        def __len__(self) -> int:
            raise AssertionError("the data were touched")

        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("the data were touched")

    with pytest.raises(StorageError, match="file"):
        search(
            trained("mlp"),
            Untouched(),
            Untouched(),
            budget=Budget.average_bits(8.0),
            out=tmp_path / "file" / "run",
        )


def test_a_problem_that_measures_nothing_has_no_store(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave out store"):
        search_ready(ToyProblem(2), searcher="random", store=tmp_path / "s.sqlite")
