"""Settings tuned on tables: the objective, the whole search, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import pytest

from rlquant import Budget, load_table
from rlquant.errors import BudgetError, RlquantError, SettingsError, UnknownNameError
from rlquant.tabular.random_table import random_table
from rlquant.tabular.table_file import write_table
from rlquant_agents import searcher, tuning, tuning_settings
from rlquant_agents.comparison_progress import RunsBar
from rlquant_agents.searcher import Searcher, make_searcher, register_searcher
from rlquant_agents.session import Session
from rlquant_agents.table_run import TableJob
from rlquant_agents.tuning import tune
from rlquant_agents.tuning_ranges import (
    RANGES,
    Whole,
)
from rlquant_agents.tuning_report import report
from rlquant_agents.tuning_settings import JUDGE_SEED, TuneSettings
from rlquant_agents.tuning_trial import Ground, Measure, Outcome, Tried, excess, grounds_on

BUDGET = Budget.average_bits(4.0)


@dataclass(frozen=True, kw_only=True)
class Toy(Searcher):
    """Asks for the cheapest configuration, and then for so many at random."""

    name: ClassVar[str] = "toy"

    draws: int = 1

    def explore(self, session: Session, seed: int) -> None:
        session.ask_cheapest()
        generator = np.random.default_rng(seed)
        for _ in range(self.draws):
            session.ask_indices(session.feasible.sample(generator).tolist())


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "_REGISTRY", dict(searcher._REGISTRY))
    register_searcher("toy", f"{__name__}:Toy")
    monkeypatch.setitem(RANGES, "toy", {"draws": Whole(1, 5)})


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    for name, seed in (("one", 1), ("two", 2), ("apart", 3)):
        write_table(random_table(3, 4, 0.5, seed), tmp_path / f"{name}.rlt")
    return tmp_path


def settings_for(folder: Path, **other: Any) -> TuneSettings:
    plain = TuneSettings(
        searcher="toy",
        tables=(str(folder / "one.rlt"), str(folder / "two.rlt")),
        held_out=(str(folder / "apart.rlt"),),
        budgets=(4.0,),
        evaluations=6,
        trials=3,
        seeds=1,
        judge_seeds=3,
        out=folder / "out",
    )
    return dataclasses.replace(plain, **other)


# --- the objective


def test_the_area_is_the_mean_of_logs_with_the_cheapest_before_anything_is_within_budget() -> None:
    ground = Ground.of(random_table(2, 3), BUDGET)
    ground = dataclasses.replace(ground, optimum=math.log(0.5), cheapest=4.0)
    curve = np.array([math.nan, 2.0, 1.0])
    by_hand = (math.log(8) + math.log(4) + 3 * math.log(2)) / 5  # the last one's twice more
    assert ground.area(curve, 5) == pytest.approx(by_hand)
    assert ground.area(curve, 2) == pytest.approx((math.log(8) + math.log(4)) / 2)
    assert ground.area(np.array([0.5]), 7) == 0.0


def test_the_ends_of_a_ground_are_the_table_s() -> None:
    table = random_table(3, 4, 0.5, 1)
    ground = Ground.of(table, BUDGET)
    losses = table.measured.losses
    assert ground.optimum == pytest.approx(math.log(losses[ground.problem.feasible_mask()].min()))
    assert ground.cheapest == losses[0]  # two bits everywhere stand first


@pytest.mark.usefixtures("toy")
def test_a_trial_is_the_mean_over_tables_budgets_and_seeds(tmp_path: Path) -> None:
    made = tuning_settings.made_up(((3, 4, 0.5), (3, 4, 0.5)), 1)
    budgets = [BUDGET, Budget.average_bits(3.0)]
    grounds, left_out = grounds_on(made, budgets)
    progress = RunsBar(8, 6)
    with progress.bar:
        measure = Measure(
            searcher="toy",
            grounds=grounds,
            seeds=range(2),
            evaluations=6,
            folder=tmp_path,
            progress=progress,
        )
        outcomes = tuple(measure(7, {"draws": 3}))
        assert progress.bar.n == 8 * 6
    by_hand = []
    for ground in (ground for under in grounds for ground in under):
        for seed in range(2):
            result = make_searcher("toy", draws=3).search(ground.problem, 6, seed)
            losses = [evaluation.score.loss for evaluation in result.history]
            best = list(np.minimum.accumulate(losses)) + [min(losses)] * (6 - len(losses))
            by_hand.append(fmean(math.log(loss) - ground.optimum for loss in best))
    assert left_out == []
    assert [area for of in outcomes for area in of.areas] == pytest.approx(by_hand)
    trial = Tried(7, {"draws": 3}, outcomes, True)
    assert trial.value == pytest.approx(fmean(by_hand))
    assert trial.seconds > 0
    assert len(list((tmp_path / "trial-7").glob("*.json"))) == 8


@pytest.mark.usefixtures("toy")
def test_runs_that_are_not_asked_for_any_more_count_as_done(tmp_path: Path) -> None:
    grounds, _ = grounds_on([random_table(3, 4, seed=seed) for seed in (1, 2, 3)], [BUDGET])
    progress = RunsBar(3, 6)
    with progress.bar:
        measure = Measure(
            searcher="toy",
            grounds=grounds,
            seeds=[0],
            evaluations=6,
            folder=tmp_path,
            progress=progress,
        )
        outcomes = measure(0, {})
        next(outcomes)
        assert progress.bar.n == 6
        outcomes.close()  # type: ignore[attr-defined]
        assert progress.bar.n == 18


def test_the_excess_is_over_the_runs_that_both_have() -> None:
    shipped = [Outcome((1.0, 2.0), (1.0, 1.0)), Outcome((5.0,), (1.0,))]
    assert excess([Outcome((1.5, 3.5), (1.0, 1.0))], shipped) == pytest.approx(1.0)
    assert excess(shipped, shipped) == 0.0


def test_a_budget_that_a_table_cannot_keep_is_left_out() -> None:
    small, large = random_table(3, 4), random_table(3, 4, seed=9)
    large = dataclasses.replace(
        large,
        costs=dataclasses.replace(large.costs, average_bits=5 * large.costs.average_bits),
    )
    grounds, left_out = grounds_on([small, large], [BUDGET])
    assert len(grounds) == len(left_out) == 1
    assert left_out[0].startswith("random under average bits 4 is left out")
    with pytest.raises(BudgetError, match="nothing is left to search"):
        grounds_on([large], [BUDGET])


# --- the whole


@pytest.mark.usefixtures("toy")
def test_held_out_tables_and_their_seeds_are_in_no_trial(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, str, int]] = []
    run = TableJob.run

    def watched(self: TableJob, *rest: Any) -> Any:
        ran.append((self.path.parent.name, self.problem.table.name, self.seed))
        return run(self, *rest)

    monkeypatch.setattr(TableJob, "run", watched)
    found = tune(settings_for(tables))
    assert found is not None
    assert {table for folder, table, _ in ran if folder.startswith("trial-")} == {"one", "two"}
    judged = [(table, seed) for folder, table, seed in ran if folder == "held-out"]
    assert set(judged) == {("apart", JUDGE_SEED + seed) for seed in range(3)}
    assert len(judged) == 2 * 3
    assert max(seed for folder, _, seed in ran if folder != "held-out") < JUDGE_SEED
    assert found.searched == ("one", "two")
    assert found.tried[0].settings == {"draws": 1}
    assert found.winner.settings["draws"] > 1
    assert found.winner is min((t for t in found.tried if t.finished), key=lambda t: t.value)
    assert found.judged is not None
    assert found.judged.differences.shape == (3, 1)
    assert found.judged.for_seeds.value == pytest.approx(found.judged.differences.mean())
    ran.clear()
    again = tune(settings_for(tables))
    assert ran == []
    assert again is not None
    assert again.judged is not None
    assert np.array_equal(again.judged.winner.areas, found.judged.winner.areas)
    assert "trials" in report(settings_for(tables), found, ["python"])


@pytest.mark.usefixtures("toy")
def test_an_interrupted_tuning_returns_nothing_and_keeps_what_ran(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    run = TableJob.run

    def interrupted(self: TableJob, *rest: Any) -> Any:
        ran.append(self.path)
        return None if len(ran) == 6 else run(self, *rest)

    monkeypatch.setattr(TableJob, "run", interrupted)
    assert tune(settings_for(tables)) is None  # in the third trial
    kept = list((tables / "out" / "trials").rglob("*.json"))
    assert len(kept) == 5
    assert tune(settings_for(tables)) is not None
    assert not set(kept) & set(ran[6:])
    monkeypatch.setattr(tuning, "run_jobs", lambda jobs: None)
    assert tune(settings_for(tables)) is None  # while it judged


@pytest.mark.usefixtures("toy")
def test_where_the_shipped_settings_win_nothing_is_judged(tables: Path) -> None:
    found = tune(settings_for(tables, trials=1))
    assert found is not None
    assert found.judged is None
    text = report(settings_for(tables), found, ["python"])
    assert "The shipped settings won the search" in text
    assert "Held-out" not in text


@pytest.mark.usefixtures("toy")
def test_a_folder_of_another_tuning_is_refused(tables: Path) -> None:
    assert tune(settings_for(tables, trials=1)) is not None
    with pytest.raises(SettingsError, match="evaluations was 6 and is 7 now"):
        tune(settings_for(tables, trials=1, evaluations=7))
    held_out = settings_for(tables, trials=1, judge_seeds=1)  # trials know nothing of it
    assert tune(held_out) is not None


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        ({"searcher": "tyo"}, UnknownNameError, "unknown searcher 'tyo'"),
        ({"searcher": "knapsack"}, UnknownNameError, "unknown searcher to tune 'knapsack'"),
        ({"fixed": ("draws",)}, SettingsError, "--fixed draws: write it as name=value"),
        ({"fixed": ("draws=2", "draws=3")}, SettingsError, "--fixed names draws twice"),
        ({"fixed": ("drawn=2",)}, SettingsError, "no setting 'drawn'"),
        ({"fixed": ("draws=2",)}, SettingsError, "nothing of toy is left to tune"),
        ({"budgets": ()}, SettingsError, "--budgets needs at least one"),
        ({"budgets": (3.0, 3.0)}, SettingsError, "--budgets names average bits 3 twice"),
        ({"budgets": (0.1,)}, BudgetError, "nothing is left to search"),
        ({"trials": 0}, SettingsError, "--trials=0"),
        ({"judge_seeds": 0}, SettingsError, "--judge-seeds=0"),
        ({"seeds": 1001}, SettingsError, "--seeds=1001"),
        ({"seed": -1}, SettingsError, "--seed=-1"),
        ({"tables": ("digits-cn",)}, UnknownNameError, "did you mean 'digits-cnn'"),
        ({"tables": ("digits-mlp", "digits-mlp")}, SettingsError, "--tables names digits-mlp tw"),
        ({"tables": ("digits-mlp",), "held_out": ("digits-mlp",)}, SettingsError, "would be seen"),
        ({"tables": ("{folder}/none",)}, SettingsError, "holds no .rlt file"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_wrong_settings_are_refused_before_anything_is_written(
    tables: Path, other: dict[str, Any], error: type[RlquantError], words: str
) -> None:
    (tables / "none").mkdir()
    if other.get("tables") == ("{folder}/none",):
        other = {"tables": (str(tables / "none"),)}
    with pytest.raises(error, match=words):
        tune(settings_for(tables, **other))
    assert not (tables / "out").exists()


def test_a_folder_stands_for_its_tables(tables: Path) -> None:
    settings = TuneSettings(tables=(str(tables),), held_out=("digits-mlp",))
    searched, judged = settings.read_tables()
    assert [table.name for table in searched] == ["apart", "one", "two"]
    assert [table.name for table in judged] == ["digits-mlp"]


def test_by_default_no_table_that_comes_with_rlquant_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning_settings, "SEARCHED", ((3, 4, 0.5), (2, 6, 0.1)))
    monkeypatch.setattr(tuning_settings, "JUDGED", ((3, 4, 0.5),))
    searched, judged = TuneSettings().read_tables()
    assert [t.name for t in searched] == ["made-up-3x4-0.5-100", "made-up-2x6-0.1-101"]
    assert [t.name for t in judged] == ["made-up-3x4-0.5-200"]
    assert tuning_settings.shipped_among([*searched, *judged]) == []
    assert not np.array_equal(searched[0].measured.losses, judged[0].measured.losses)


def test_a_shipped_table_is_known_under_any_name(
    tables: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tables / "other.rlt"
    write_table(load_table("digits-mlp"), copy)
    TuneSettings(tables=(str(copy),)).read_tables()
    assert "other comes with rlquant" in caplog.text
